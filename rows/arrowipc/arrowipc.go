// Package arrowipc reads Arrow IPC streams of one record batch that may come from
// anywhere: what it returns can be read without a panic, and it allocates no
// more than the stream's own size.
package arrowipc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/bitutil"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Preamble is the encoded schema message with which a stream of the schema
// begins. A stream with another schema differs there, and Arrow's reader, which
// trusts the lengths in a schema (a flipped bit made it ask for 99 GB), sees none
// but the expected one.
func Preamble(schema *arrow.Schema) []byte {
	var b bytes.Buffer
	w := ipc.NewWriter(&b, ipc.WithSchema(schema))
	if err := w.Close(); err != nil { // writes the schema and the end of the stream
		panic(err) // a buffer takes everything
	}
	return b.Bytes()[:b.Len()-len(endOfStream)]
}

// endOfStream closes an IPC stream: a continuation mark and the length 0.
const endOfStream = "\xff\xff\xff\xff\x00\x00\x00\x00"

// Read returns the one record of a stream with the given preamble; the caller
// releases it. Binary and string columns, fixed-width ones and null bitmaps are
// checked.
func Read(data, preamble []byte) (arrow.Record, error) {
	if !bytes.HasPrefix(data, preamble) {
		return nil, errors.New("its schema is not the expected one")
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
	// A row takes some bytes; a count that is not even a length must not be added to.
	if n := rec.NumRows(); n < 0 || n > int64(len(data)) {
		return nil, fmt.Errorf("%d rows in %d bytes", n, len(data))
	}
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
	switch s := col.(type) {
	case *array.String:
		return validateText(s.ValueOffsets, buffers, n)
	case *array.Binary:
		return validateText(s.ValueOffsets, buffers, n)
	}
	width := col.DataType().(arrow.FixedWidthDataType).BitWidth() / 8
	if n > 0 && (buffers[1] == nil || buffers[1].Len() < n*width) {
		return errors.New("its values are too short")
	}
	return nil
}

func validateText(offsets func() []int32, buffers []*memory.Buffer, n int) error {
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
	for _, o := range offsets() {
		if o < before || int(o) > size {
			return errors.New("its offsets lead outside")
		}
		before = o
	}
	return nil
}
