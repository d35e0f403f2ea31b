package rows

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// roundTrip builds a batch of random rows, decodes it with Arrow's own reader
// and compares every value with the field in the same place of the struct: the
// columns of a table are its fields in order.
func roundTrip[R any](b *Builder[R], table string) func(*testing.T) {
	return func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, uint64(len(table))))
		desc, ok := ByName(table)
		if !ok {
			t.Fatalf("no table %s", table)
		}
		for _, n := range []int{1, 3, 0, 200} { // shrinking and growing reuse
			want := make([]R, n)
			for i := range want {
				fill(r, reflect.ValueOf(&want[i]).Elem())
				b.Append(&want[i])
			}
			if b.Len() != n {
				t.Fatalf("Len = %d, want %d", b.Len(), n)
			}
			data, err := b.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			rec := decode(t, data)
			defer rec.Release()
			if !rec.Schema().Equal(desc.Schema()) {
				t.Fatalf("schema %v, want %v", rec.Schema(), desc.Schema())
			}
			compare(t, rec, reflect.ValueOf(want))
		}
	}
}

func TestRoundTrip(t *testing.T) {
	t.Run("sessions", roundTrip(NewSessionBuilder(), TableSessions))
	t.Run("segment_state", roundTrip(NewSegmentStateBuilder(), TableSegmentState))
	t.Run("segment_events", roundTrip(NewSegmentEventBuilder(), TableSegmentEvents))
	t.Run("audience", roundTrip(NewAudienceBuilder(), TableAudience))
	t.Run("reevaluations", roundTrip(NewReevaluationBuilder(), TableReevaluations))
	t.Run("latency", roundTrip(NewLatencyBuilder(), TableLatency))
	t.Run("dead_letters", roundTrip(NewDeadLetterBuilder(), TableDeadLetters))
	t.Run("event_warnings", roundTrip(NewEventWarningBuilder(), TableEventWarnings))
	t.Run("alerts", roundTrip(NewAlertBuilder(), TableAlerts))
	t.Run("progress", roundTrip(NewProgressBuilder(), TableProgress))
}

func TestTablesHaveKeysAndVersions(t *testing.T) {
	for _, tab := range Tables {
		if got, want := len(tab.Keys()), len(keys[tab.Name])+1; got != want {
			t.Errorf("%s has %d key columns, want %d", tab.Name, got, want)
		}
		if tab.Column("site") != 0 || tab.Column("version") != len(tab.Columns)-1 {
			t.Errorf("%s does not begin with site and end with version", tab.Name)
		}
	}
}

// TestBatchesAreIndependent: the memory of a batch that was handed on must not
// be written by the next one.
func TestBatchesAreIndependent(t *testing.T) {
	b := NewAlertBuilder()
	b.Append(&Alert{Subject: "first"})
	one, err := b.Batch(5)
	if err != nil {
		t.Fatal(err)
	}
	kept := bytes.Clone(one.Data)
	b.Append(&Alert{Subject: "other"})
	if _, err := b.Batch(0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, one.Data) || one.Rows != 1 || one.Table != TableAlerts || one.Decided != 5 {
		t.Fatalf("the first batch changed: %+v", one)
	}
}

func decode(t *testing.T, data []byte) arrow.Record {
	t.Helper()
	rd, err := ipc.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Release()
	if !rd.Next() {
		t.Fatalf("no record: %v", rd.Err())
	}
	rec := rd.Record()
	rec.Retain()
	if rd.Next() {
		t.Fatal("a second record")
	}
	return rec
}

func compare(t *testing.T, rec arrow.Record, want reflect.Value) {
	t.Helper()
	if int(rec.NumRows()) != want.Len() || int(rec.NumCols()) != want.Type().Elem().NumField() {
		t.Fatalf("%d rows, %d columns; want %d of %v", rec.NumRows(), rec.NumCols(), want.Len(), want.Type().Elem())
	}
	for i := range want.Len() {
		for c := range int(rec.NumCols()) {
			if got, want := cell(rec, c, i), fieldText(rec, c, want.Index(i).Field(c)); got != want {
				t.Fatalf("row %d, %s: %s, want %s", i, rec.ColumnName(c), got, want)
			}
		}
	}
}

func cell(rec arrow.Record, c, i int) string {
	col := rec.Column(c)
	if col.IsNull(i) {
		return "NULL"
	}
	switch a := col.(type) {
	case *array.Timestamp:
		return fmt.Sprint(int64(a.Value(i)))
	case *array.Float64:
		return fmt.Sprint(a.Value(i))
	}
	return col.ValueStr(i)
}

func fieldText(rec arrow.Record, c int, v reflect.Value) string {
	null := rec.Schema().Field(c).Nullable
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return "1"
		}
		return "0"
	case reflect.Float64:
		if null && math.IsNaN(v.Float()) {
			return "NULL"
		}
	case reflect.Int64:
		if null && v.Int() == 0 {
			return "NULL"
		}
	}
	return fmt.Sprint(v.Interface())
}

func fill(r *rand.Rand, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Kind() {
		case reflect.String:
			f.SetString([]string{"", "everyone/high_intent", "Kauf für 5 €", "\xff\x00raw"}[r.IntN(4)])
		case reflect.Bool:
			f.SetBool(r.IntN(2) == 1)
		case reflect.Float64:
			f.SetFloat([]float64{r.NormFloat64(), 0, math.NaN()}[r.IntN(3)])
		case reflect.Int8, reflect.Int32, reflect.Int64:
			if r.IntN(4) > 0 {
				f.SetInt(int64(int8(r.Uint64())))
			}
		default:
			f.SetUint(r.Uint64() >> (64 - f.Type().Bits()))
		}
	}
}

func BenchmarkSessions1000(b *testing.B) {
	bld := NewSessionBuilder()
	s := Session{Site: "shop", Device: "0f7c1e6e-5f0a-4c0e-9e1e-cdfe0c7d2c11", Person: "d:0f7c1e6e-5f0a-4c0e-9e1e-cdfe0c7d2c11", Path: "home>list>product", DeviceType: "mobile", OS: "ios", Network: "4g"}
	b.ReportAllocs()
	for b.Loop() {
		for i := range 1000 {
			s.Version = uint64(i)
			bld.Append(&s)
		}
		if _, err := bld.Bytes(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSegmentEvents1(b *testing.B) {
	bld := NewSegmentEventBuilder()
	b.ReportAllocs()
	for b.Loop() {
		bld.Append(&SegmentEvent{Site: "shop", Person: "d:1", Node: "everyone/high_intent"})
		if _, err := bld.Bytes(); err != nil {
			b.Fatal(err)
		}
	}
}
