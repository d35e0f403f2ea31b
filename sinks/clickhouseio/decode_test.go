package clickhouseio

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/microseg/microseg/rows"
)

// FuzzDecode: whatever the bytes, decode returns, and what it accepts can be
// read to the last value.
func FuzzDecode(f *testing.F) {
	b := rows.NewAudienceBuilder()
	b.Append(&rows.Audience{Site: "s", Path: "everyone/high_intent"})
	b.Append(&rows.Audience{Site: "s", Path: "everyone"})
	data, err := b.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Fuzz(func(_ *testing.T, data []byte) { readAll(data, rows.TableAudience, 2) })
}

// readAll decodes and reads everything, as an insert does.
func readAll(data []byte, table string, n int) {
	p, err := decode(rows.Batch{Table: table, Rows: n, Data: data}, time.Time{})
	if err != nil {
		return
	}
	t, _ := rows.ByName(table)
	bl := &block{table: t}
	bl.add(p)
	bl.seal()
	for i, c := range t.Columns {
		_ = fmt.Sprint(bl.column(i, c.Nullable, 1))
	}
	bl.release()
}

// TestFlippedBytesAreSurvived is what a short fuzzing run does, always.
func TestFlippedBytesAreSurvived(t *testing.T) {
	b := rows.NewAudienceBuilder()
	b.Append(&rows.Audience{Site: "s", Path: "everyone/high_intent"})
	b.Append(&rows.Audience{Site: "s", Path: "everyone"})
	data, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	start := len(editions[rows.TableAudience][0].preamble)
	for range 20_000 {
		bad := append([]byte(nil), data...)
		for range 1 + r.IntN(3) {
			bad[start+r.IntN(len(bad)-start)] = byte(r.Uint32())
		}
		readAll(bad, rows.TableAudience, 2)
	}
}

// TestOlderEditions: rows that an older binary left in a changelog or a spill
// lack the columns that came since, and are written all the same. They were
// "not the expected schema", and a job that was upgraded with a spill lost them.
func TestOlderEditions(t *testing.T) {
	for _, name := range []string{rows.TableAudience, rows.TableSegmentState} {
		table, _ := rows.ByName(name)
		newest, oldest := table.Editions()[0], table.Editions()[table.Edition()]
		var data bytes.Buffer
		b := array.NewRecordBuilder(memory.DefaultAllocator, oldest)
		for i := range oldest.Fields() {
			b.Field(i).AppendEmptyValues(4)
		}
		rec := b.NewRecord()
		w := ipc.NewWriter(&data, ipc.WithSchema(oldest))
		if err := errors.Join(w.Write(rec), w.Close()); err != nil {
			t.Fatal(err)
		}
		p, err := decode(rows.Batch{Table: name, Rows: 4, Data: data.Bytes()}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if !p.rec.Schema().Equal(newest) || p.rec.NumRows() != 4 || oldest.Equal(newest) {
			t.Errorf("%s: %v", name, p.rec.Schema())
		}
		for i, f := range newest.Fields() {
			if p.rec.Column(i).Len() != 4 || !f.Nullable && p.rec.Column(i).NullN() > 0 {
				t.Errorf("%s.%s: %v", name, f.Name, p.rec.Column(i))
			}
		}
		readAll(data.Bytes(), name, 4)
	}
}
