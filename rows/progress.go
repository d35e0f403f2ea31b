package rows

// Progress says up to where the effects of a partition are in ClickHouse. It is
// written after every row that it covers: the committed cut of a restart.
type Progress struct {
	Site      string // site id
	Stage     string // device or person
	Partition int32
	Shard     uint16 // that owns the partition
	Offset    int64  // last offset whose effects are recorded
	Clock     int64  // data clock: newest accepted event time, ms
	Watermark int64  // ms
	Read      uint64 // records read so far (stage device)
	Good      uint64 // accepted
	Duplicate uint64 // dropped by messageId
	Dead      uint64 // dead letters
	Version   uint64
}

var progressColumns = []column[Progress]{
	str("site", func(r *Progress) string { return r.Site }),
	str("stage", func(r *Progress) string { return r.Stage }),
	i32("partition", func(r *Progress) int32 { return r.Partition }),
	u16("shard", func(r *Progress) uint16 { return r.Shard }),
	i64("offset", func(r *Progress) int64 { return r.Offset }),
	timeMS("clock", func(r *Progress) int64 { return r.Clock }),
	timeMS("watermark", func(r *Progress) int64 { return r.Watermark }),
	u64("read", func(r *Progress) uint64 { return r.Read }),
	u64("good", func(r *Progress) uint64 { return r.Good }),
	u64("duplicate", func(r *Progress) uint64 { return r.Duplicate }),
	u64("dead", func(r *Progress) uint64 { return r.Dead }),
	u64("version", func(r *Progress) uint64 { return r.Version }),
}

// NewProgressBuilder returns an empty builder of progress.
func NewProgressBuilder() *Builder[Progress] { return newBuilder(TableProgress, progressColumns) }

// Stages of a Progress.
const (
	StageDevice = "device"
	StagePerson = "person"
)
