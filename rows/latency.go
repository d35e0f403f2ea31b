package rows

// Latency is the absolute count of one bucket of a stage's latency in one minute
// of wall clock, by one shard of one job, or by one serving node. Buckets: measure/latency.
type Latency struct {
	Site    string // site id
	Job     uint64 // id of the job's run, or of the node's
	Shard   uint16
	Minute  int64   // start of the minute, wall clock, ms
	Stage   string  // ingest, queue, compute, refresh, record; of a node deliver, whole, respond
	Bucket  uint16  // latency.Bucket
	Count   uint64  // events
	SumMS   float64 // ms, over the bucket's events
	Version uint64
}

var latencyColumns = []column[Latency]{
	str("site", func(r *Latency) string { return r.Site }),
	u64("job", func(r *Latency) uint64 { return r.Job }),
	u16("shard", func(r *Latency) uint16 { return r.Shard }),
	timeMS("minute", func(r *Latency) int64 { return r.Minute }),
	str("stage", func(r *Latency) string { return r.Stage }),
	u16("bucket", func(r *Latency) uint16 { return r.Bucket }),
	u64("count", func(r *Latency) uint64 { return r.Count }),
	f64("sum_ms", func(r *Latency) float64 { return r.SumMS }),
	u64("version", func(r *Latency) uint64 { return r.Version }),
}

// NewLatencyBuilder returns an empty builder of latency.
func NewLatencyBuilder() *Builder[Latency] { return newBuilder(TableLatency, latencyColumns) }
