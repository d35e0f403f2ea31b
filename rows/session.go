package rows

// Session is one session of a device (one epoch of its identity). A later version
// replaces an earlier one of the same (site, device, epoch, start).
type Session struct {
	Site             string // site id
	Device           string // anonymousId
	Epoch            int64  // offset of the record that opened the identity epoch
	Start            int64  // first event, ms
	End              int64  // last event, ms
	Person           string // "u:<userId>" or "d:<device>"
	Open             bool   // still open at the data clock
	Deleted          bool   // tombstone: absorbed by a session that a late event bridged
	Events           uint32
	PageViews        uint32
	Clicks           uint32
	Path             string  // page types in order, joined by '>'
	DurationS        float64 // s
	DwellS           float64 // s
	DwellListS       float64 // s
	DwellProductS    float64 // s
	DwellComparisonS float64 // s
	DwellCartS       float64 // s
	DwellCheckoutS   float64 // s
	DwellHighTicketS float64 // s
	MaxScroll        float64 // 0..1
	ScrollVelocity   float64 // px/s, the last seen
	HalfScrollS      float64 // s, 0 when not reached
	HoverS           float64 // s
	FocusS           float64 // s
	VideoStarts      uint32
	VideoDropoffs    uint32
	FormStarts       uint32
	FormSubmits      uint32
	CartItems        uint32
	CartValue        float64 // currency
	Orders           uint32
	Revenue          float64 // currency
	DeviceType       string  // event.DeviceTypes
	OS               string  // event.OSes
	Network          string  // event.Networks
	ClaimedUser      string  // userId that was stated without a proof; "": none
	Version          uint64
}

var sessionColumns = []column[Session]{
	str("site", func(r *Session) string { return r.Site }),
	str("device", func(r *Session) string { return r.Device }),
	i64("epoch", func(r *Session) int64 { return r.Epoch }),
	timeMS("start", func(r *Session) int64 { return r.Start }),
	timeMS("end", func(r *Session) int64 { return r.End }),
	str("person", func(r *Session) string { return r.Person }),
	u8("open", func(r *Session) bool { return r.Open }),
	u8("deleted", func(r *Session) bool { return r.Deleted }),
	u32("events", func(r *Session) uint32 { return r.Events }),
	u32("page_views", func(r *Session) uint32 { return r.PageViews }),
	u32("clicks", func(r *Session) uint32 { return r.Clicks }),
	str("path", func(r *Session) string { return r.Path }),
	f64("duration_s", func(r *Session) float64 { return r.DurationS }),
	f64("dwell_s", func(r *Session) float64 { return r.DwellS }),
	f64("dwell_list_s", func(r *Session) float64 { return r.DwellListS }),
	f64("dwell_product_s", func(r *Session) float64 { return r.DwellProductS }),
	f64("dwell_comparison_s", func(r *Session) float64 { return r.DwellComparisonS }),
	f64("dwell_cart_s", func(r *Session) float64 { return r.DwellCartS }),
	f64("dwell_checkout_s", func(r *Session) float64 { return r.DwellCheckoutS }),
	f64("dwell_high_ticket_s", func(r *Session) float64 { return r.DwellHighTicketS }),
	f64("max_scroll", func(r *Session) float64 { return r.MaxScroll }),
	f64("scroll_velocity", func(r *Session) float64 { return r.ScrollVelocity }),
	f64("half_scroll_s", func(r *Session) float64 { return r.HalfScrollS }),
	f64("hover_s", func(r *Session) float64 { return r.HoverS }),
	f64("focus_s", func(r *Session) float64 { return r.FocusS }),
	u32("video_starts", func(r *Session) uint32 { return r.VideoStarts }),
	u32("video_dropoffs", func(r *Session) uint32 { return r.VideoDropoffs }),
	u32("form_starts", func(r *Session) uint32 { return r.FormStarts }),
	u32("form_submits", func(r *Session) uint32 { return r.FormSubmits }),
	u32("cart_items", func(r *Session) uint32 { return r.CartItems }),
	f64("cart_value", func(r *Session) float64 { return r.CartValue }),
	u32("orders", func(r *Session) uint32 { return r.Orders }),
	f64("revenue", func(r *Session) float64 { return r.Revenue }),
	str("device_type", func(r *Session) string { return r.DeviceType }),
	str("os", func(r *Session) string { return r.OS }),
	str("network", func(r *Session) string { return r.Network }),
	since(1, str("claimed_user", func(r *Session) string { return r.ClaimedUser })),
	u64("version", func(r *Session) uint64 { return r.Version }),
}

// NewSessionBuilder returns an empty builder of sessions.
func NewSessionBuilder() *Builder[Session] { return newBuilder(TableSessions, sessionColumns) }
