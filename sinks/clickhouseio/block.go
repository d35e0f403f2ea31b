package clickhouseio

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/microseg/microseg/transforms/rows"
)

// part is one decoded batch.
type part struct {
	rec     arrow.Record
	sum     [sha256.Size]byte // of the encoded batch
	size    int               // bytes of the encoded batch
	decided time.Time
}

// block is what one insert writes: the parts of one table, in the order in
// which they were added.
type block struct {
	table rows.Table
	parts []part
	size  int
	picks []pick // rows to insert; nil: all, in order
	rows  int    // rows to insert
	taken int    // rows received
	token string // deduplication token
}

// pick is one row of a block.
type pick struct{ part, row int32 }

// schemas are the Arrow schemas of the tables, by name.
var schemas = func() map[string]*arrow.Schema {
	m := map[string]*arrow.Schema{}
	for _, t := range rows.Tables {
		m[t.Name] = t.Schema()
	}
	return m
}()

// decode checks a batch against its table's schema. Nothing that does not fit
// gets any further: one bad column would poison a whole insert.
func decode(b rows.Batch, now time.Time) (part, error) {
	want, ok := schemas[b.Table]
	if !ok {
		return part{}, fmt.Errorf("decoding a batch: there is no table %q", b.Table)
	}
	rd, err := ipc.NewReader(bytes.NewReader(b.Data))
	if err != nil {
		return part{}, fmt.Errorf("decoding a batch of %s: %w", b.Table, err)
	}
	defer rd.Release()
	if !rd.Schema().Equal(want) {
		return part{}, fmt.Errorf("decoding a batch of %s: its schema is %v, want %v", b.Table, rd.Schema(), want)
	}
	if !rd.Next() {
		return part{}, fmt.Errorf("decoding a batch of %s: it has no record: %v", b.Table, rd.Err())
	}
	rec := rd.Record()
	if int(rec.NumRows()) != b.Rows {
		return part{}, fmt.Errorf("decoding a batch of %s: it has %d rows and says %d", b.Table, rec.NumRows(), b.Rows)
	}
	rec.Retain()
	decided := now
	if b.Decided > 0 {
		decided = time.UnixMilli(b.Decided)
	}
	return part{rec: rec, sum: sha256.Sum256(b.Data), size: len(b.Data), decided: decided}, nil
}

func (b *block) add(p part) {
	b.parts = append(b.parts, p)
	b.size += p.size
	b.taken += int(p.rec.NumRows())
}

// seal decides which rows are inserted and names the block by its content. Two
// inserts have one token only when they hold the same batches in the same
// order, and then the second one is a repetition.
func (b *block) seal() {
	b.rows = b.taken
	if b.table.State {
		if picks := newest(b); len(picks) < b.taken {
			b.picks, b.rows = picks, len(picks)
		}
	}
	h := sha256.New()
	h.Write([]byte(b.table.Name))
	for _, p := range b.parts {
		h.Write(p.sum[:])
	}
	b.token = hex.EncodeToString(h.Sum(nil))
}

func (b *block) release() {
	for _, p := range b.parts {
		p.rec.Release()
	}
}
