package rows

// Audience is a node's share of the active persons in one minute of event time,
// absolute, over all shards.
type Audience struct {
	Site         string  // site id
	Minute       int64   // start of the minute, event time, ms
	Path         string  // node
	Members      uint32  // active persons in the subtree
	Total        uint32  // active persons of the site
	Share        float64 // Members/Total, 0..1
	Active       bool    // the node is served
	Exempt       bool    // it needs no audience
	Why          string  // the verdict in words
	Flipped      int8    // +1 activated in this minute, -1 deactivated, 0
	StaleShare   float64 // 0..1; NaN: undefined (NULL)
	SignalWeight float64 // 0..1; NaN: undefined (NULL)
	Stale        bool    // flagged: StaleShare above the threshold
	Version      uint64
}

var audienceColumns = []column[Audience]{
	str("site", func(r *Audience) string { return r.Site }),
	timeMS("minute", func(r *Audience) int64 { return r.Minute }),
	str("path", func(r *Audience) string { return r.Path }),
	u32("members", func(r *Audience) uint32 { return r.Members }),
	u32("total", func(r *Audience) uint32 { return r.Total }),
	f64("share", func(r *Audience) float64 { return r.Share }),
	u8("active", func(r *Audience) bool { return r.Active }),
	since(1, u8("exempt", func(r *Audience) bool { return r.Exempt })),
	since(1, str("why", func(r *Audience) string { return r.Why })),
	i8("flipped", func(r *Audience) int8 { return r.Flipped }),
	f64null("stale_share", func(r *Audience) float64 { return r.StaleShare }),
	f64null("signal_weight", func(r *Audience) float64 { return r.SignalWeight }),
	u8("stale", func(r *Audience) bool { return r.Stale }),
	u64("version", func(r *Audience) uint64 { return r.Version }),
}

// NewAudienceBuilder returns an empty builder of audience.
func NewAudienceBuilder() *Builder[Audience] { return newBuilder(TableAudience, audienceColumns) }
