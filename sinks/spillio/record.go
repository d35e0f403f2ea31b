package spillio

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/microseg/microseg/rows"
)

// headerKey names the record header that says what the value, an Arrow stream,
// is; the record's key is the table.
const headerKey = "microseg-spill"

// headerVersion is the first number of a header.
const headerVersion = 1

// header is, as unsigned varints: version, rows, time of the oldest decision
// (ms), rows and bytes of all records before.
func (r *Record) header() []byte {
	b := binary.AppendUvarint(make([]byte, 0, 32), headerVersion)
	for _, v := range []uint64{uint64(r.Batch.Rows), uint64(max(r.Batch.Decided, 0)), r.Before.Rows, r.Before.Bytes} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// ErrForeign is returned for a record that is not one of ours, or of a newer
// version: reading it again gives the same.
var ErrForeign = errors.New("it is not a spilled batch")

// parse reads a record of the topic. Its rows are not looked at.
func parse(kr *kgo.Record) (Record, error) {
	r := Record{Offset: kr.Offset, Appended: kr.Timestamp, Batch: rows.Batch{Table: string(kr.Key), Data: kr.Value}}
	var raw []byte
	for _, h := range kr.Headers {
		if h.Key == headerKey {
			raw = h.Value
		}
	}
	var v [5]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(raw); n <= 0 {
			return Record{}, fmt.Errorf("%w: no or a broken header %s", ErrForeign, headerKey)
		}
		raw = raw[n:]
		if i == 0 && v[0] != headerVersion {
			return Record{}, fmt.Errorf("%w: it has version %d, this program reads version %d; run the program that wrote it until the topic is empty", ErrForeign, v[0], headerVersion)
		}
	}
	// A row takes more than a byte; the rest of the check is the Arrow reader's.
	if v[1] > uint64(len(kr.Value)) {
		return Record{}, fmt.Errorf("%w: %d rows in %d bytes", ErrForeign, v[1], len(kr.Value))
	}
	r.Batch.Rows, r.Batch.Decided, r.Before = int(v[1]), int64(v[2]&(1<<63-1)), Totals{v[3], v[4]}
	return r, nil
}
