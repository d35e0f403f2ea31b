package clickhouseio

import (
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// appendColumns appends the block's columns to the batch, each as one slice.
func appendColumns(batch driver.Batch, b *block) error {
	types := batch.Columns()
	if len(types) != len(b.table.Columns) {
		return fmt.Errorf("appending to %s: the server wants %d columns, there are %d", b.table.Name, len(types), len(b.table.Columns))
	}
	for i, c := range b.table.Columns {
		// DateTime is in seconds, DateTime64(3) in ms.
		unit := int64(1)
		if t := types[i].Type(); t == "DateTime" || len(t) > 9 && t[:9] == "DateTime(" {
			unit = 1000
		}
		values := b.column(i, c.Nullable, unit)
		if err := batch.Column(i).Append(values); err != nil {
			return fmt.Errorf("appending %s.%s: %w", b.table.Name, c.Name, err)
		}
	}
	return nil
}

// column gathers column i as the slice that clickhouse-go takes: []V, or []*V
// where the column is nullable; times as int64 in units of unit ms.
func (b *block) column(i int, nullable bool, unit int64) any {
	switch b.parts[0].rec.Column(i).(type) {
	case *array.String:
		return gather(b, i, func(a *array.String, row int) string { return a.Value(row) })
	case *array.Timestamp:
		v := gather(b, i, func(a *array.Timestamp, row int) int64 { return clamp(a.Value(row), unit) })
		if nullable {
			return pointers(b, i, v)
		}
		return v
	case *array.Float64:
		v := numbers(b, i, (*array.Float64).Float64Values)
		if nullable {
			return pointers(b, i, v)
		}
		return v
	case *array.Uint8:
		return numbers(b, i, (*array.Uint8).Uint8Values)
	case *array.Int8:
		return numbers(b, i, (*array.Int8).Int8Values)
	case *array.Uint16:
		return numbers(b, i, (*array.Uint16).Uint16Values)
	case *array.Int32:
		return numbers(b, i, (*array.Int32).Int32Values)
	case *array.Uint32:
		return numbers(b, i, (*array.Uint32).Uint32Values)
	case *array.Int64:
		return numbers(b, i, (*array.Int64).Int64Values)
	case *array.Uint64:
		return numbers(b, i, (*array.Uint64).Uint64Values)
	}
	return nil // the batch refuses it; decode lets no other type in
}

// numbers gathers a column of plain numbers; one whole part needs no copy.
func numbers[A arrow.Array, V any](b *block, i int, values func(A) []V) []V {
	if b.picks == nil {
		if len(b.parts) == 1 {
			return values(b.parts[0].rec.Column(i).(A))
		}
		out := make([]V, 0, b.rows)
		for _, p := range b.parts {
			out = append(out, values(p.rec.Column(i).(A))...)
		}
		return out
	}
	parts := make([][]V, len(b.parts))
	for p := range b.parts {
		parts[p] = values(b.parts[p].rec.Column(i).(A))
	}
	out := make([]V, len(b.picks))
	for j, p := range b.picks {
		out[j] = parts[p.part][p.row]
	}
	return out
}

// gather gathers a column value by value.
func gather[A arrow.Array, V any](b *block, i int, value func(A, int) V) []V {
	out := make([]V, 0, b.rows)
	b.each(i, func(a arrow.Array, row int) { out = append(out, value(a.(A), row)) })
	return out
}

// pointers makes the nullable form: nil where the column is null.
func pointers[V any](b *block, i int, values []V) []*V {
	out := make([]*V, 0, len(values))
	b.each(i, func(a arrow.Array, row int) {
		if a.IsNull(row) {
			out = append(out, nil)
			return
		}
		out = append(out, &values[len(out)])
	})
	return out
}

// each calls f for the rows to insert, in order.
func (b *block) each(i int, f func(a arrow.Array, row int)) {
	if b.picks != nil {
		for _, p := range b.picks {
			f(b.parts[p.part].rec.Column(i), int(p.row))
		}
		return
	}
	for _, p := range b.parts {
		a := p.rec.Column(i)
		for row := range a.Len() {
			f(a, row)
		}
	}
}

// The years that ClickHouse can hold; beyond them a column wraps around.
var (
	minTime64 = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	maxTime64 = time.Date(2261, 12, 31, 0, 0, 0, 0, time.UTC).UnixMilli()
	maxTime   = time.Date(2106, 2, 7, 0, 0, 0, 0, time.UTC).UnixMilli()
)

// clamp brings a time of a broken clock into what the column can hold.
func clamp(t arrow.Timestamp, unit int64) int64 {
	if unit == 1 {
		return min(max(int64(t), minTime64), maxTime64)
	}
	return min(max(int64(t), 0), maxTime) / unit
}
