package rows

// EventWarning is a detail of an accepted record that could not be read.
type EventWarning struct {
	Site      string // site id
	Partition int32
	Offset    int64
	Property  string // event.Warning
	Reason    string // event.Why
	Example   string
	Appended  int64 // record timestamp, ms
	Version   uint64
}

var eventWarningColumns = []column[EventWarning]{
	str("site", func(r *EventWarning) string { return r.Site }),
	i32("partition", func(r *EventWarning) int32 { return r.Partition }),
	i64("offset", func(r *EventWarning) int64 { return r.Offset }),
	str("property", func(r *EventWarning) string { return r.Property }),
	str("reason", func(r *EventWarning) string { return r.Reason }),
	str("example", func(r *EventWarning) string { return r.Example }),
	timeMS("appended", func(r *EventWarning) int64 { return r.Appended }),
	u64("version", func(r *EventWarning) uint64 { return r.Version }),
}

// NewEventWarningBuilder returns an empty builder of event_warnings.
func NewEventWarningBuilder() *Builder[EventWarning] {
	return newBuilder(TableEventWarnings, eventWarningColumns)
}
