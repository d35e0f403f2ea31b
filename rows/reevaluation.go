package rows

// Reevaluation says that a flagged segment's members were evaluated again in a
// minute of event time.
type Reevaluation struct {
	Site       string  // site id
	Minute     int64   // the refresh tick, event time, ms
	Path       string  // the flagged node
	Members    uint32  // in its subtree, who were evaluated, also those no longer active
	Moved      uint32  // of them
	StaleShare float64 // of the node then, over the whole site, 0..1; NaN: undefined (NULL)
	Version    uint64
}

var reevaluationColumns = []column[Reevaluation]{
	str("site", func(r *Reevaluation) string { return r.Site }),
	timeMS("minute", func(r *Reevaluation) int64 { return r.Minute }),
	str("path", func(r *Reevaluation) string { return r.Path }),
	u32("members", func(r *Reevaluation) uint32 { return r.Members }),
	u32("moved", func(r *Reevaluation) uint32 { return r.Moved }),
	f64null("stale_share", func(r *Reevaluation) float64 { return r.StaleShare }),
	u64("version", func(r *Reevaluation) uint64 { return r.Version }),
}

// NewReevaluationBuilder returns an empty builder of re-evaluations.
func NewReevaluationBuilder() *Builder[Reevaluation] {
	return newBuilder(TableReevaluations, reevaluationColumns)
}
