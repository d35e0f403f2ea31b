package clickhouseio

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/microseg/microseg/transforms/arrowipc"
	"github.com/microseg/microseg/transforms/rows"
)

// preambles begin the streams of the tables, by name.
var preambles = func() map[string][]byte {
	m := map[string][]byte{}
	for _, t := range rows.Tables {
		m[t.Name] = arrowipc.Preamble(t.Schema())
	}
	return m
}()

// decode checks a batch against its table. Nothing that does not fit gets any
// further: one bad column would poison a whole insert.
func decode(b rows.Batch, now time.Time) (part, error) {
	preamble, ok := preambles[b.Table]
	if !ok {
		return part{}, fmt.Errorf("decoding a batch: there is no table %q", b.Table)
	}
	rec, err := arrowipc.Read(b.Data, preamble)
	if err == nil && int(rec.NumRows()) != b.Rows {
		rec.Release()
		err = fmt.Errorf("it has %d rows and says %d", rec.NumRows(), b.Rows)
	}
	if err != nil {
		return part{}, fmt.Errorf("decoding a batch of %s: %w", b.Table, err)
	}
	decided := now
	if b.Decided > 0 {
		decided = time.UnixMilli(b.Decided)
	}
	return part{rec: rec, sum: sha256.Sum256(b.Data), size: len(b.Data), decided: decided}, nil
}
