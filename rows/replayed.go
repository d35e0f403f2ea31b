package rows

// Replayed is what a replay made of a dead letter.
type Replayed struct {
	Site      string // site id
	Partition int32
	Offset    int64  // of the dead letter
	Receipt   string // of the replay
	Outcome   string // identity.ReplayedGood and others, or an event.Reason
	At        int64  // wall clock, ms
	Version   uint64 // offset of the record that told to rebuild the device
}

var replayedColumns = []column[Replayed]{
	str("site", func(r *Replayed) string { return r.Site }),
	i32("partition", func(r *Replayed) int32 { return r.Partition }),
	i64("offset", func(r *Replayed) int64 { return r.Offset }),
	str("receipt", func(r *Replayed) string { return r.Receipt }),
	str("outcome", func(r *Replayed) string { return r.Outcome }),
	timeMS("at", func(r *Replayed) int64 { return r.At }),
	u64("version", func(r *Replayed) uint64 { return r.Version }),
}

// NewReplayedBuilder returns an empty builder of dead_letter_replays.
func NewReplayedBuilder() *Builder[Replayed] { return newBuilder(TableReplayed, replayedColumns) }
