package rows

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// Builder collects rows of one table and turns them into an Arrow batch. It
// keeps its memory from batch to batch and is not safe for concurrent use.
type Builder[R any] struct {
	table  string
	schema *arrow.Schema
	cols   []column[R]
	rows   []R
	arrays []arrow.Array
	size   int // bytes of the last batch
}

func newBuilder[R any](name string, cols []column[R]) *Builder[R] {
	b := &Builder[R]{table: name, arrays: make([]arrow.Array, len(cols))}
	for _, c := range cols {
		b.cols = append(b.cols, c.fresh())
	}
	b.schema = describe(name, cols).Schema()
	return b
}

// Append copies a row.
func (b *Builder[R]) Append(r *R) { b.rows = append(b.rows, *r) }

// Len is the number of rows appended since the last Bytes.
func (b *Builder[R]) Len() int { return len(b.rows) }

// Reset forgets the rows.
func (b *Builder[R]) Reset() {
	clear(b.rows) // lets go of the strings
	b.rows = b.rows[:0]
}

// Bytes returns the rows as an Arrow IPC stream of one record batch (fresh
// memory that the caller may keep) and resets the builder.
func (b *Builder[R]) Bytes() ([]byte, error) {
	for i, c := range b.cols {
		b.arrays[i] = c.build(b.rows)
	}
	rec := array.NewRecord(b.schema, b.arrays, int64(len(b.rows)))
	buf := bytes.NewBuffer(make([]byte, 0, b.size+b.size/8+4096))
	w := ipc.NewWriter(buf, ipc.WithSchema(b.schema))
	err := w.Write(rec)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	rec.Release()
	for _, a := range b.arrays {
		a.Release()
	}
	b.Reset()
	b.size = buf.Len()
	if err != nil {
		return nil, fmt.Errorf("encoding a batch of %s: %w", b.table, err)
	}
	return buf.Bytes(), nil
}

// Batch is Bytes as the sink's element; decided is Batch.Decided.
func (b *Builder[R]) Batch(decided int64) (Batch, error) {
	n := b.Len()
	data, err := b.Bytes()
	return Batch{Table: b.table, Rows: n, Decided: decided, Data: data}, err
}
