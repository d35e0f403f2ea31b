package clickhouseio

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/microseg/microseg/transforms/rows"
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
	start := len(preambles[rows.TableAudience])
	for range 20_000 {
		bad := append([]byte(nil), data...)
		for range 1 + r.IntN(3) {
			bad[start+r.IntN(len(bad)-start)] = byte(r.Uint32())
		}
		readAll(bad, rows.TableAudience, 2)
	}
}
