package rows

// SegmentState is what is known of a person: one row, the highest version counts.
type SegmentState struct {
	Site           string  // site id
	Person         string  // "u:<userId>" or "d:<device>"
	Path           string  // full decided path, e.g. everyone/high_intent/cart_abandoner
	Since          int64   // event time at which the path was entered, ms
	EvaluatedAt    int64   // event time of the last evaluation, ms
	NextEvaluation int64   // event time of the next wake-up, ms; 0: none
	LastEvent      int64   // newest event, ms
	Intent         float64 // 0..1
	SignalWeight   float64 // 0..1
	Live           float64 // decayed sum at EvaluatedAt
	Long           float64 // decayed sum at EvaluatedAt
	CartValue      float64 // currency
	Orders         uint32  // with those that came too late for a session
	Revenue        float64 // of these, currency
	Refunded       float64 // currency
	Devices        uint16  // device vectors linked
	Transitions    uint32  // paths entered so far
	Bot            bool    // a crawler, which counts in no audience
	Deleted        bool    // dropped by retention or unlinking
	Version        uint64
}

var segmentStateColumns = []column[SegmentState]{
	str("site", func(r *SegmentState) string { return r.Site }),
	str("person", func(r *SegmentState) string { return r.Person }),
	str("path", func(r *SegmentState) string { return r.Path }),
	timeMS("since", func(r *SegmentState) int64 { return r.Since }),
	timeMS("evaluated_at", func(r *SegmentState) int64 { return r.EvaluatedAt }),
	timeMS("next_evaluation", func(r *SegmentState) int64 { return r.NextEvaluation }),
	timeMS("last_event", func(r *SegmentState) int64 { return r.LastEvent }),
	f64("intent", func(r *SegmentState) float64 { return r.Intent }),
	f64("signal_weight", func(r *SegmentState) float64 { return r.SignalWeight }),
	f64("live", func(r *SegmentState) float64 { return r.Live }),
	f64("long", func(r *SegmentState) float64 { return r.Long }),
	f64("cart_value", func(r *SegmentState) float64 { return r.CartValue }),
	since(2, u32("orders", func(r *SegmentState) uint32 { return r.Orders })),
	since(2, f64("revenue", func(r *SegmentState) float64 { return r.Revenue })),
	since(2, f64("refunded", func(r *SegmentState) float64 { return r.Refunded })),
	u16("devices", func(r *SegmentState) uint16 { return r.Devices }),
	u32("transitions", func(r *SegmentState) uint32 { return r.Transitions }),
	since(1, u8("bot", func(r *SegmentState) bool { return r.Bot })),
	u8("deleted", func(r *SegmentState) bool { return r.Deleted }),
	u64("version", func(r *SegmentState) uint64 { return r.Version }),
}

// NewSegmentStateBuilder returns an empty builder of segment_state.
func NewSegmentStateBuilder() *Builder[SegmentState] {
	return newBuilder(TableSegmentState, segmentStateColumns)
}
