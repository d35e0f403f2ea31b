package rows

// SegmentEvent is one node of the tree entered or left by a person.
type SegmentEvent struct {
	Site       string // site id
	Person     string
	Transition uint32 // number of the person's path change, from 1
	Node       string // path of the node entered or left
	Action     string // Entered or Left
	FromPath   string
	ToPath     string
	Cause      string // event, time, refresh, stale, link, unlink, retention
	At         int64  // event time, ms
	DecidedAt  int64  // wall clock, ms
	Partition  int32  // of the record that caused it
	Offset     int64  // of the record that caused it
	Version    uint64
}

var segmentEventColumns = []column[SegmentEvent]{
	str("site", func(r *SegmentEvent) string { return r.Site }),
	str("person", func(r *SegmentEvent) string { return r.Person }),
	u32("transition", func(r *SegmentEvent) uint32 { return r.Transition }),
	str("node", func(r *SegmentEvent) string { return r.Node }),
	str("action", func(r *SegmentEvent) string { return r.Action }),
	str("from_path", func(r *SegmentEvent) string { return r.FromPath }),
	str("to_path", func(r *SegmentEvent) string { return r.ToPath }),
	str("cause", func(r *SegmentEvent) string { return r.Cause }),
	timeMS("at", func(r *SegmentEvent) int64 { return r.At }),
	timeMS("decided_at", func(r *SegmentEvent) int64 { return r.DecidedAt }),
	i32("partition", func(r *SegmentEvent) int32 { return r.Partition }),
	i64("offset", func(r *SegmentEvent) int64 { return r.Offset }),
	u64("version", func(r *SegmentEvent) uint64 { return r.Version }),
}

// NewSegmentEventBuilder returns an empty builder of segment_events.
func NewSegmentEventBuilder() *Builder[SegmentEvent] {
	return newBuilder(TableSegmentEvents, segmentEventColumns)
}

// Actions of a SegmentEvent.
const (
	Entered = "entered"
	Left    = "left"
)
