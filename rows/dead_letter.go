package rows

// DeadLetter is a record that was read and not accepted.
type DeadLetter struct {
	Site      string // site id
	Partition int32
	Offset    int64
	Reason    string // event.Reason
	Detail    string // what exactly is wrong
	EventTime int64  // ms; 0: unknown (NULL)
	Appended  int64  // record timestamp, ms
	Device    string // anonymousId or record key, "" when unknown
	Payload   string // the raw record, truncated
	Version   uint64
}

var deadLetterColumns = []column[DeadLetter]{
	str("site", func(r *DeadLetter) string { return r.Site }),
	i32("partition", func(r *DeadLetter) int32 { return r.Partition }),
	i64("offset", func(r *DeadLetter) int64 { return r.Offset }),
	str("reason", func(r *DeadLetter) string { return r.Reason }),
	str("detail", func(r *DeadLetter) string { return r.Detail }),
	timeNull("event_time", func(r *DeadLetter) int64 { return r.EventTime }),
	timeMS("appended", func(r *DeadLetter) int64 { return r.Appended }),
	str("device", func(r *DeadLetter) string { return r.Device }),
	str("payload", func(r *DeadLetter) string { return r.Payload }),
	u64("version", func(r *DeadLetter) uint64 { return r.Version }),
}

// NewDeadLetterBuilder returns an empty builder of dead_letters.
func NewDeadLetterBuilder() *Builder[DeadLetter] {
	return newBuilder(TableDeadLetters, deadLetterColumns)
}
