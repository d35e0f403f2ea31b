package identity

import (
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
)

// Record is one record of the log as the source read it.
type Record struct {
	Partition int32
	Offset    int64
	Append    int64 // record timestamp, ms
	Key       []byte
	Value     []byte
	Origin    Origin // of a copy
	Trust     event.Trust
}

// RawBatch is what a source gathered for one shard: records, in offset order
// within each partition, as the chunks that it fetched, and the ranges that they
// cover.
type RawBatch struct {
	Shard     int
	ID        int64 // number of the batch in its shard
	Ranges    []Range
	Chunks    [][]Record
	Due       int64 // as in Batch
	Emitted   int64 // wall clock, µs
	Again     bool  // cut as a process that is gone had cut it
	Semantics event.Semantics
	// LegacyUntil and Limits are as in Batch; of one that is not cut again the decoder says them.
	LegacyUntil int64
	Limits      Limits
	Poison      []Place // records that no stage may see: one could not take them
}

// Len is the number of records.
func (b *RawBatch) Len() (n int) {
	for _, c := range b.Chunks {
		n += len(c)
	}
	return n
}

// AppendTo encodes the batch; runners that do not fuse the source with the
// decoder carry this form.
func (b *RawBatch) AppendTo(w *codec.Writer) {
	w.Int(int64(b.Shard))
	w.Int(b.ID)
	w.Int(b.Due)
	w.Int(b.Emitted)
	w.Byte(b.Semantics.WithFlag(b.Again))
	w.Int(b.LegacyUntil)
	b.Limits.AppendTo(w)
	w.Uint(uint64(len(b.Poison)))
	for _, p := range b.Poison {
		w.Int(int64(p.Partition))
		w.Int(p.Offset)
	}
	w.Uint(uint64(len(b.Ranges)))
	for _, r := range b.Ranges {
		w.Int(int64(r.Partition))
		w.Int(r.Prev)
		w.Int(r.First)
		w.Int(r.Last)
		w.Int(r.Idle)
	}
	w.Uint(uint64(b.Len()))
	for _, c := range b.Chunks {
		for i := range c {
			r := &c[i]
			w.Int(int64(r.Partition))
			w.Int(r.Offset)
			w.Int(r.Append)
			w.Bytes(r.Key)
			w.Bytes(r.Value)
			r.Origin.AppendTo(w)
			w.Byte(byte(r.Trust))
		}
	}
}

// ReadRawBatch decodes what AppendTo wrote; records alias data.
func ReadRawBatch(data []byte) (RawBatch, error) {
	r := codec.Reader{B: data}
	b := RawBatch{Shard: int(r.Int()), ID: r.Int(), Due: r.Int(), Emitted: r.Int()}
	b.Semantics, b.Again = event.ReadSemantics(r.Byte())
	b.LegacyUntil, b.Limits = r.Int(), ReadLimits(&r)
	for range r.Len() {
		b.Poison = append(b.Poison, Place{int32(r.Int()), r.Int()})
	}
	b.Ranges = make([]Range, r.Len())
	for i := range b.Ranges {
		b.Ranges[i] = Range{Partition: int32(r.Int()), Prev: r.Int(), First: r.Int(), Last: r.Int(), Idle: r.Int()}
	}
	records := make([]Record, r.Len())
	for i := range records {
		records[i] = Record{Partition: int32(r.Int()), Offset: r.Int(), Append: r.Int(), Key: r.Bytes(), Value: r.Bytes(), Origin: ReadOriginFrom(&r), Trust: event.Trust(r.Byte())}
	}
	b.Chunks = [][]Record{records}
	return b, r.Err()
}
