package rows

import (
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/bitutil"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// timestampMS is the Arrow type of every time.
var timestampMS = &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}

// column turns one field of R into one Arrow column, keeping its memory.
//
// Columns are built field by field over all rows, straight into the buffers
// that Arrow's arrays point to: one indirect call a value, no builder's checks.
type column[R any] interface {
	desc() Column
	// build returns the column over rs; it is valid until the next call.
	build(rs []R) arrow.Array
	// fresh returns a column with buffers of its own.
	fresh() column[R]
}

// plain are the Go types whose memory is an Arrow buffer as it stands.
type plain interface {
	uint8 | uint16 | uint32 | uint64 | int8 | int32 | int64 | float64 | arrow.Timestamp
}

type fixed[R any, V plain] struct {
	col   Column
	get   func(*R) V
	bytes func([]V) []byte
	null  func(V) bool // nil: never null
	buf   []V
	valid []byte
}

func (c *fixed[R, V]) desc() Column { return c.col }

func (c *fixed[R, V]) fresh() column[R] {
	return &fixed[R, V]{col: c.col, get: c.get, bytes: c.bytes, null: c.null}
}

func (c *fixed[R, V]) build(rs []R) arrow.Array {
	c.buf = sized(c.buf, len(rs))
	for i := range rs {
		c.buf[i] = c.get(&rs[i])
	}
	var bitmap *memory.Buffer
	nulls := 0
	if c.null != nil {
		nulls = c.validity()
		bitmap = memory.NewBufferBytes(c.valid)
	}
	data := array.NewData(c.col.Type, len(rs), []*memory.Buffer{bitmap, memory.NewBufferBytes(c.bytes(c.buf))}, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// validity fills the null bitmap and returns the number of nulls.
func (c *fixed[R, V]) validity() (nulls int) {
	c.valid = sized(c.valid, int(bitutil.BytesForBits(int64(len(c.buf)))))
	clear(c.valid)
	for i, v := range c.buf {
		if c.null(v) {
			nulls++
			continue
		}
		bitutil.SetBit(c.valid, i)
	}
	return nulls
}

type text[R any] struct {
	col     Column
	get     func(*R) string
	offsets []int32
	data    []byte
}

func (c *text[R]) desc() Column     { return c.col }
func (c *text[R]) fresh() column[R] { return &text[R]{col: c.col, get: c.get} }

func (c *text[R]) build(rs []R) arrow.Array {
	c.offsets = append(c.offsets[:0], 0)
	c.data = c.data[:0]
	for i := range rs {
		c.data = append(c.data, c.get(&rs[i])...)
		c.offsets = append(c.offsets, int32(len(c.data)))
	}
	data := array.NewData(c.col.Type, len(rs), []*memory.Buffer{nil,
		memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(c.offsets)), memory.NewBufferBytes(c.data)}, nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// sized returns b with length n, reusing its memory where it is enough.
func sized[V any](b []V, n int) []V {
	if cap(b) < n {
		return make([]V, n, n+n/4)
	}
	return b[:n]
}

// later is a column that came with a later edition of its table.
type later[R any] struct {
	column[R]
	edition int
}

// since says in which edition of its table a column came. New ones stand at the
// end of a list of columns or anywhere within it; none ever leaves.
func since[R any](edition int, c column[R]) column[R] { return later[R]{c, edition} }

func (c later[R]) desc() Column {
	d := c.column.desc()
	d.Edition = c.edition
	return d
}

func (c later[R]) fresh() column[R] { return later[R]{c.column.fresh(), c.edition} }

// The constructors below name a column and the field that fills it.

func str[R any](name string, get func(*R) string) column[R] {
	return &text[R]{col: Column{Name: name, Type: arrow.BinaryTypes.String}, get: get}
}

func u8[R any](name string, get func(*R) bool) column[R] {
	return &fixed[R, uint8]{col: Column{Name: name, Type: arrow.PrimitiveTypes.Uint8}, bytes: arrow.Uint8Traits.CastToBytes,
		get: func(r *R) uint8 {
			if get(r) {
				return 1
			}
			return 0
		}}
}

func i8[R any](name string, get func(*R) int8) column[R] {
	return &fixed[R, int8]{col: Column{Name: name, Type: arrow.PrimitiveTypes.Int8}, get: get, bytes: arrow.Int8Traits.CastToBytes}
}

func u16[R any](name string, get func(*R) uint16) column[R] {
	return &fixed[R, uint16]{col: Column{Name: name, Type: arrow.PrimitiveTypes.Uint16}, get: get, bytes: arrow.Uint16Traits.CastToBytes}
}

func i32[R any](name string, get func(*R) int32) column[R] {
	return &fixed[R, int32]{col: Column{Name: name, Type: arrow.PrimitiveTypes.Int32}, get: get, bytes: arrow.Int32Traits.CastToBytes}
}

func u32[R any](name string, get func(*R) uint32) column[R] {
	return &fixed[R, uint32]{col: Column{Name: name, Type: arrow.PrimitiveTypes.Uint32}, get: get, bytes: arrow.Uint32Traits.CastToBytes}
}

func i64[R any](name string, get func(*R) int64) column[R] {
	return &fixed[R, int64]{col: Column{Name: name, Type: arrow.PrimitiveTypes.Int64}, get: get, bytes: arrow.Int64Traits.CastToBytes}
}

func u64[R any](name string, get func(*R) uint64) column[R] {
	return &fixed[R, uint64]{col: Column{Name: name, Type: arrow.PrimitiveTypes.Uint64}, get: get, bytes: arrow.Uint64Traits.CastToBytes}
}

func f64[R any](name string, get func(*R) float64) column[R] {
	return &fixed[R, float64]{col: Column{Name: name, Type: arrow.PrimitiveTypes.Float64}, get: get, bytes: arrow.Float64Traits.CastToBytes}
}

// f64null is null where the field is NaN.
func f64null[R any](name string, get func(*R) float64) column[R] {
	return &fixed[R, float64]{col: Column{Name: name, Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		get: get, bytes: arrow.Float64Traits.CastToBytes, null: math.IsNaN}
}

func timeMS[R any](name string, get func(*R) int64) column[R] {
	return &fixed[R, arrow.Timestamp]{col: Column{Name: name, Type: timestampMS}, bytes: arrow.TimestampTraits.CastToBytes,
		get: func(r *R) arrow.Timestamp { return arrow.Timestamp(get(r)) }}
}

// timeNull is null where the field is 0.
func timeNull[R any](name string, get func(*R) int64) column[R] {
	return &fixed[R, arrow.Timestamp]{col: Column{Name: name, Type: timestampMS, Nullable: true}, bytes: arrow.TimestampTraits.CastToBytes,
		get:  func(r *R) arrow.Timestamp { return arrow.Timestamp(get(r)) },
		null: func(v arrow.Timestamp) bool { return v == 0 }}
}
