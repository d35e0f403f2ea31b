package clickhouseio

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/rows/arrowipc"
)

// edition is a schema that a table's batches have, or had in an older binary.
type edition struct {
	schema   *arrow.Schema
	preamble []byte // of its streams
}

// editions are those of the tables, by name, the newest first.
var editions = func() map[string][]edition {
	m := map[string][]edition{}
	for _, t := range rows.Tables {
		for _, s := range t.Editions() {
			m[t.Name] = append(m[t.Name], edition{s, arrowipc.Preamble(s)})
		}
	}
	return m
}()

// decode checks a batch against its table. Nothing that does not fit gets any
// further: one bad column would poison a whole insert.
func decode(b rows.Batch, now time.Time) (part, error) {
	all, ok := editions[b.Table]
	if !ok {
		return part{}, fmt.Errorf("decoding a batch: there is no table %q", b.Table)
	}
	from := all[0]
	for _, e := range all[1:] {
		if bytes.HasPrefix(b.Data, e.preamble) {
			from = e
		}
	}
	rec, err := arrowipc.Read(b.Data, from.preamble)
	if err == nil && int(rec.NumRows()) != b.Rows {
		rec.Release()
		err = fmt.Errorf("it has %d rows and says %d", rec.NumRows(), b.Rows)
	}
	if err != nil {
		return part{}, fmt.Errorf("decoding a batch of %s: %w", b.Table, err)
	}
	if from.schema != all[0].schema {
		older := rec
		rec = widen(older, all[0].schema)
		older.Release()
	}
	decided := now
	if b.Decided > 0 {
		decided = time.UnixMilli(b.Decided)
	}
	return part{rec: rec, sum: sha256.Sum256(b.Data), size: len(b.Data), decided: decided}, nil
}

// widen gives a record of an earlier edition the columns that came since, with
// the empty values of their types. The column it lacks costs no row.
func widen(rec arrow.Record, to *arrow.Schema) arrow.Record {
	n := int(rec.NumRows())
	cols := make([]arrow.Array, to.NumFields())
	for i, f := range to.Fields() {
		if have := rec.Schema().FieldIndices(f.Name); len(have) > 0 {
			cols[i] = rec.Column(have[0])
			cols[i].Retain()
			continue
		}
		b := array.NewBuilder(memory.DefaultAllocator, f.Type)
		if f.Nullable {
			b.AppendNulls(n)
		} else {
			b.AppendEmptyValues(n)
		}
		cols[i] = b.NewArray()
		b.Release()
	}
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	return array.NewRecord(to, cols, rec.NumRows())
}
