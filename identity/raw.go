package identity

import (
	"github.com/microseg/microseg/event/codec"
)

// Record is one record of the log as the source read it.
type Record struct {
	Partition int32
	Offset    int64
	Append    int64 // record timestamp, ms
	Key       []byte
	Value     []byte
}

// RawBatch is what a source gathered for one shard: records in offset order
// within each partition, and the ranges that they cover.
type RawBatch struct {
	Shard   int
	ID      int64 // number of the batch in its shard
	Ranges  []Range
	Records []Record
	Flush   bool
	Emitted int64 // wall clock, µs
}

// AppendTo encodes the batch; runners that do not fuse the source with the
// decoder carry this form.
func (b *RawBatch) AppendTo(w *codec.Writer) {
	w.Int(int64(b.Shard))
	w.Int(b.ID)
	w.Bool(b.Flush)
	w.Int(b.Emitted)
	w.Uint(uint64(len(b.Ranges)))
	for _, r := range b.Ranges {
		w.Int(int64(r.Partition))
		w.Int(r.Prev)
		w.Int(r.First)
		w.Int(r.Last)
		w.Int(r.Idle)
	}
	w.Uint(uint64(len(b.Records)))
	for i := range b.Records {
		r := &b.Records[i]
		w.Int(int64(r.Partition))
		w.Int(r.Offset)
		w.Int(r.Append)
		w.Bytes(r.Key)
		w.Bytes(r.Value)
	}
}

// ReadRawBatch decodes what AppendTo wrote; records alias data.
func ReadRawBatch(data []byte) (RawBatch, error) {
	r := codec.Reader{B: data}
	b := RawBatch{Shard: int(r.Int()), ID: r.Int(), Flush: r.Bool(), Emitted: r.Int()}
	b.Ranges = make([]Range, r.Len())
	for i := range b.Ranges {
		b.Ranges[i] = Range{Partition: int32(r.Int()), Prev: r.Int(), First: r.Int(), Last: r.Int(), Idle: r.Int()}
	}
	b.Records = make([]Record, r.Len())
	for i := range b.Records {
		b.Records[i] = Record{Partition: int32(r.Int()), Offset: r.Int(), Append: r.Int(), Key: r.Bytes(), Value: r.Bytes()}
	}
	return b, r.Err()
}
