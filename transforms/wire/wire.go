// Package wire is the form in which micro-batches travel between the stages:
// a small header (offset ranges, watermark) and one Arrow record batch.
package wire

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows/arrowipc"
)

// Header says what a batch covers.
type Header struct {
	Shard     int
	ID        int64 // number of the batch in its shard
	Ranges    []identity.Range
	Watermark int64 // event time that has passed in all partitions of the shard, ms; 0 for unknown
	Due       int64 // rows of what changed in batches emitted up to here are due, µs; 0 for none
	Idle      bool  // the whole shard idles
	Own       bool  // from the person shard's own device shard: it sets the time
	Emitted   int64 // wall clock at which the source let the batch go, µs
	Seq       int64 // to a person shard: numbers the batches of the pair of shards, from 1
	Again     bool  // decided before by a process that is gone: what is measured of it is no latency
	Semantics event.Semantics
	// LegacyUntil is as in identity.Batch, of a batch to a device shard; since semantics 3.
	LegacyUntil int64
	// Limits are as in identity.Batch, of a batch to a device shard; since semantics 5. A batch
	// to a person shard has them where it is made again under a lower limit.
	Limits identity.Limits
	Poison []identity.Place // records that are left out: a stage could not take them
}

// poisonBit marks a header that has a list of what is left out.
const poisonBit = 0x80

// Covers reports whether the record is one of the batch.
func (h *Header) Covers(p identity.Place) bool {
	for _, r := range h.Ranges {
		if r.Partition == p.Partition && r.First <= p.Offset && p.Offset <= r.Last {
			return true
		}
	}
	return false
}

// AppendTo writes the header.
func (h *Header) AppendTo(w *codec.Writer) {
	w.Int(int64(h.Shard))
	w.Int(h.ID)
	w.Int(h.Watermark)
	w.Int(h.Due)
	w.Bool(h.Idle)
	w.Bool(h.Own)
	w.Int(h.Emitted)
	w.Int(h.Seq)
	mark := h.Semantics.WithFlag(h.Again)
	if len(h.Poison) > 0 {
		mark |= poisonBit
	}
	w.Byte(mark)
	if h.Semantics.Has(3) {
		w.Int(h.LegacyUntil)
	}
	if h.Semantics.Has(5) {
		h.Limits.AppendTo(w)
	}
	w.Uint(uint64(len(h.Ranges)))
	for _, r := range h.Ranges {
		w.Int(int64(r.Partition))
		w.Int(r.Prev)
		w.Int(r.First)
		w.Int(r.Last)
		w.Int(r.Idle)
	}
	if len(h.Poison) == 0 {
		return
	}
	w.Uint(uint64(len(h.Poison)))
	for _, p := range h.Poison {
		w.Int(int64(p.Partition))
		w.Int(p.Offset)
	}
}

func readHeader(r *codec.Reader) Header {
	h := Header{Shard: int(r.Int()), ID: r.Int(), Watermark: r.Int(), Due: r.Int(), Idle: r.Bool(), Own: r.Bool(), Emitted: r.Int(), Seq: r.Int()}
	mark := r.Byte()
	if h.Semantics, h.Again = event.ReadSemantics(mark &^ poisonBit); h.Semantics.Has(3) {
		h.LegacyUntil = r.Int()
	}
	if h.Semantics.Has(5) {
		h.Limits = identity.ReadLimits(r)
	}
	h.Ranges = make([]identity.Range, r.Len())
	for i := range h.Ranges {
		h.Ranges[i] = identity.Range{Partition: int32(r.Int()), Prev: r.Int(), First: r.Int(), Last: r.Int(), Idle: r.Int()}
	}
	if mark&poisonBit != 0 {
		for range r.Len() {
			h.Poison = append(h.Poison, identity.Place{Partition: int32(r.Int()), Offset: r.Int()})
		}
	}
	return h
}

// ReadHeader decodes only what a batch covers.
func ReadHeader(b []byte) (Header, error) {
	r := codec.Reader{B: b}
	h := readHeader(&r)
	return h, r.Err()
}

// WithPoison is the batch with a header that names what is left out of it.
func WithPoison(b []byte, poison []identity.Place) []byte {
	r := codec.Reader{B: b}
	h := readHeader(&r)
	if h.Poison = poison; r.Err() != nil {
		return b // whoever reads it says why
	}
	w := codec.Writer{B: make([]byte, 0, len(b)+len(poison)*16)}
	h.AppendTo(&w)
	w.B = append(w.B, r.B...)
	return w.B
}

// text is a column of strings or bytes that keeps its memory.
type text struct {
	offsets []int32
	data    []byte
}

func (t *text) reset() { t.offsets, t.data = append(t.offsets[:0], 0), t.data[:0] }

func (t *text) add(s string) {
	t.data = append(t.data, s...)
	t.offsets = append(t.offsets, int32(len(t.data)))
}

// end closes a value whose bytes were appended to data.
func (t *text) end() { t.offsets = append(t.offsets, int32(len(t.data))) }

// columns collects the arrays of one record batch over slices that stay the
// caller's, so that encoding copies each byte once.
type columns struct {
	rows   int
	bytes  int
	arrays []arrow.Array
}

func (c *columns) add(typ arrow.DataType, buffers ...[]byte) {
	bs := []*memory.Buffer{nil}
	for _, b := range buffers {
		c.bytes += len(b) + 64 // IPC pads buffers
		bs = append(bs, memory.NewBufferBytes(b))
	}
	data := array.NewData(typ, c.rows, bs, nil, 0, 0)
	defer data.Release()
	c.arrays = append(c.arrays, array.MakeFromData(data))
}

func (c *columns) text(typ arrow.DataType, t *text) {
	c.add(typ, arrow.Int32Traits.CastToBytes(t.offsets), t.data)
}

// schemaBytes is about what an IPC stream takes apart from the columns.
const schemaBytes = 4096

// encode writes the header, what extra appends, and the columns as one Arrow IPC stream.
func (c *columns) encode(h *Header, schema *arrow.Schema, extra func(*codec.Writer)) ([]byte, error) {
	w := codec.Writer{B: make([]byte, 0, c.bytes+schemaBytes)}
	h.AppendTo(&w)
	extra(&w)
	rec := array.NewRecord(schema, c.arrays, int64(c.rows))
	defer rec.Release()
	for _, a := range c.arrays {
		a.Release()
	}
	buf := bytes.NewBuffer(w.B)
	iw := ipc.NewWriter(buf, ipc.WithSchema(schema), ipc.WithAllocator(memory.DefaultAllocator))
	if err := iw.Write(rec); err != nil {
		return nil, fmt.Errorf("encoding a record batch: %w", err)
	}
	if err := iw.Close(); err != nil {
		return nil, fmt.Errorf("encoding a record batch: %w", err)
	}
	return buf.Bytes(), nil
}

// read calls f with the record of an Arrow IPC stream.
func read(b, preamble []byte, f func(arrow.Record) error) error {
	rec, err := arrowipc.Read(b, preamble)
	if err != nil {
		return fmt.Errorf("decoding a record batch (was the job updated with batches in flight?): %w", err)
	}
	defer rec.Release()
	return f(rec)
}
