package clickhouseio

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/bitutil"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/microseg/microseg/transforms/rows"
)

// preambles are the encoded schema messages with which a table's batches begin.
// A batch with another schema differs there, and Arrow's reader, which trusts
// the lengths in a schema (a flipped bit made it ask for 99 GB), sees none but
// these.
var preambles = func() map[string][]byte {
	m := map[string][]byte{}
	for _, t := range rows.Tables {
		var b bytes.Buffer
		w := ipc.NewWriter(&b, ipc.WithSchema(t.Schema()))
		err := w.Close() // writes the schema and the end of the stream
		if err != nil {
			panic(err) // a buffer takes everything
		}
		m[t.Name] = b.Bytes()[:b.Len()-len(endOfStream)]
	}
	return m
}()

// endOfStream closes an IPC stream: a continuation mark and the length 0.
const endOfStream = "\xff\xff\xff\xff\x00\x00\x00\x00"

// decode checks a batch against its table. Nothing that does not fit gets any
// further: one bad column would poison a whole insert.
func decode(b rows.Batch, now time.Time) (part, error) {
	preamble, ok := preambles[b.Table]
	if !ok {
		return part{}, fmt.Errorf("decoding a batch: there is no table %q", b.Table)
	}
	rec, err := readRecord(b.Data, preamble)
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

// readRecord reads the one record of an IPC stream with the given preamble.
func readRecord(data, preamble []byte) (arrow.Record, error) {
	if !bytes.HasPrefix(data, preamble) {
		return nil, errors.New("its schema is not the table's")
	}
	rest := data[len(preamble):]
	if len(rest) < 8 || binary.LittleEndian.Uint32(rest) != 0xffffffff || int64(binary.LittleEndian.Uint32(rest[4:])) > int64(len(rest)) {
		return nil, errors.New("it has no record")
	}
	rd, err := ipc.NewReader(bytes.NewReader(data), ipc.WithAllocator(bounded{memory.NewGoAllocator(), len(data)}))
	if err != nil {
		return nil, err
	}
	defer rd.Release()
	if !rd.Next() {
		return nil, fmt.Errorf("it has no record: %w", rd.Err())
	}
	rec := rd.Record()
	if err := validate(rec); err != nil {
		return nil, err
	}
	rec.Retain()
	return rec, nil
}

// bounded refuses to allocate more than a batch can need. Arrow's reader turns
// the panic into an error.
type bounded struct {
	memory.Allocator
	size int
}

func (b bounded) Allocate(n int) []byte {
	b.check(n)
	return b.Allocator.Allocate(n)
}

func (b bounded) Reallocate(n int, old []byte) []byte {
	b.check(n)
	return b.Allocator.Reallocate(n, old)
}

func (b bounded) check(n int) {
	if n < 0 || n > 2*b.size+1024 {
		panic(fmt.Sprintf("a batch of %d bytes asks for %d", b.size, n))
	}
}

// validate makes sure that every value of the record can be read: Arrow's
// arrays trust the lengths and offsets that they are given.
func validate(rec arrow.Record) error {
	for i, col := range rec.Columns() {
		if err := validateColumn(col, int(rec.NumRows())); err != nil {
			return fmt.Errorf("column %s: %w", rec.ColumnName(i), err)
		}
	}
	return nil
}

func validateColumn(col arrow.Array, n int) error {
	d := col.Data()
	if col.Len() != n || d.Offset() != 0 {
		return fmt.Errorf("it has %d rows of %d", col.Len(), n)
	}
	buffers := d.Buffers()
	if bitmap := buffers[0]; bitmap != nil && bitmap.Len() < int(bitutil.BytesForBits(int64(n))) {
		return errors.New("its null bitmap is too short")
	}
	if s, ok := col.(*array.String); ok {
		return validateText(s, buffers, n)
	}
	width := col.DataType().(arrow.FixedWidthDataType).BitWidth() / 8
	if n > 0 && (buffers[1] == nil || buffers[1].Len() < n*width) {
		return errors.New("its values are too short")
	}
	return nil
}

func validateText(s *array.String, buffers []*memory.Buffer, n int) error {
	if n == 0 {
		return nil
	}
	if buffers[1] == nil || buffers[1].Len() < (n+1)*arrow.Int32SizeBytes {
		return errors.New("its offsets are too short")
	}
	size := 0
	if buffers[2] != nil {
		size = buffers[2].Len()
	}
	before := int32(0)
	for _, o := range s.ValueOffsets() {
		if o < before || int(o) > size {
			return errors.New("its offsets lead outside")
		}
		before = o
	}
	return nil
}
