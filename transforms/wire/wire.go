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
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
)

// Header says what a batch covers.
type Header struct {
	Shard     int
	ID        int64 // number of the batch in its shard
	Ranges    []identity.Range
	Watermark int64 // event time that has passed in all partitions of the shard, ms; 0 for unknown
	Flush     bool  // state rows are due
	Idle      bool  // the whole shard idles
	Own       bool  // from the person shard's own device shard: it sets the time
	Emitted   int64 // wall clock at which the source let the batch go, µs
}

func (h *Header) appendTo(w *codec.Writer) {
	w.Int(int64(h.Shard))
	w.Int(h.ID)
	w.Int(h.Watermark)
	w.Bool(h.Flush)
	w.Bool(h.Idle)
	w.Bool(h.Own)
	w.Int(h.Emitted)
	w.Uint(uint64(len(h.Ranges)))
	for _, r := range h.Ranges {
		w.Int(int64(r.Partition))
		w.Int(r.Prev)
		w.Int(r.First)
		w.Int(r.Last)
		w.Int(r.Idle)
	}
}

func readHeader(r *codec.Reader) Header {
	h := Header{Shard: int(r.Int()), ID: r.Int(), Watermark: r.Int(), Flush: r.Bool(), Idle: r.Bool(), Own: r.Bool(), Emitted: r.Int()}
	h.Ranges = make([]identity.Range, r.Len())
	for i := range h.Ranges {
		h.Ranges[i] = identity.Range{Partition: int32(r.Int()), Prev: r.Int(), First: r.Int(), Last: r.Int(), Idle: r.Int()}
	}
	return h
}

// record encodes the columns of a builder as one Arrow IPC stream, after what is in w.
func record(w *codec.Writer, b *array.RecordBuilder) error {
	rec := b.NewRecord()
	defer rec.Release()
	buf := bytes.NewBuffer(w.B)
	iw := ipc.NewWriter(buf, ipc.WithSchema(b.Schema()), ipc.WithAllocator(memory.DefaultAllocator))
	if err := iw.Write(rec); err != nil {
		return fmt.Errorf("encoding a record batch: %w", err)
	}
	if err := iw.Close(); err != nil {
		return fmt.Errorf("encoding a record batch: %w", err)
	}
	w.B = buf.Bytes()
	return nil
}

// read calls f with the record of an Arrow IPC stream; the record's memory is b's.
func read(b []byte, schema *arrow.Schema, f func(arrow.Record) error) (err error) {
	// Arrow panics on some malformed bytes; outside bytes must give errors.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoding a record batch: %v", p)
		}
	}()
	r, err := ipc.NewReader(bytes.NewReader(b), ipc.WithAllocator(memory.DefaultAllocator))
	if err != nil {
		return fmt.Errorf("decoding a record batch: %w", err)
	}
	defer r.Release()
	if !r.Schema().Equal(schema) {
		return fmt.Errorf("decoding a record batch: its schema is %v, not %v: the job was updated with batches in flight", r.Schema(), schema)
	}
	if !r.Next() {
		return fmt.Errorf("decoding a record batch: no record: %w", codec.ErrCorrupt)
	}
	return f(r.Record())
}
