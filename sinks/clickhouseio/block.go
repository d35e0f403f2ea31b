package clickhouseio

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/microseg/microseg/rows"
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

func (b *block) add(p part) {
	b.parts = append(b.parts, p)
	b.size += p.size
	b.taken += int(p.rec.NumRows())
}

// seal decides which rows are inserted and names the block by its content. Two
// inserts have one token only when they hold the same batches in the same
// order, and then the second one is a repetition.
func (b *block) seal() {
	if b.token != "" {
		return
	}
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
