package clickhouseio

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/microseg/microseg/rows"
)

// TestNewestAgreesWithAMap compares the coalescing with the obvious map.
func TestNewestAgreesWithAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		type key struct {
			site, device string
			epoch, start int64
		}
		want := map[key]rows.Session{}
		b := &block{table: table(t, rows.TableSessions)}
		for range 1 + r.IntN(5) {
			bld := rows.NewSessionBuilder()
			for range 1 + r.IntN(20) {
				s := rows.Session{Site: pickOne(r, "s", "t"), Device: pickOne(r, "a", "b", ""), Epoch: r.Int64N(2), Start: r.Int64N(3),
					Events: r.Uint32(), Version: r.Uint64N(4)}
				bld.Append(&s)
				k := key{s.Site, s.Device, s.Epoch, s.Start}
				if old, ok := want[k]; !ok || s.Version >= old.Version {
					want[k] = s
				}
			}
			batch, err := bld.Batch(0)
			if err != nil {
				t.Fatal(err)
			}
			p, err := decode(batch, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			b.add(p)
		}
		b.seal()
		got := map[key]uint32{}
		site, device := b.column(0, false, 1).([]string), b.column(1, false, 1).([]string)
		epoch, start := b.column(2, false, 1).([]int64), b.column(3, false, 1).([]int64)
		events := b.column(b.table.Column("events"), false, 1).([]uint32)
		for i := range site {
			got[key{site[i], device[i], epoch[i], start[i]}] = events[i]
		}
		wantEvents := map[key]uint32{}
		for k, s := range want {
			wantEvents[k] = s.Events
		}
		if len(site) != len(want) || b.rows != len(want) || !maps.Equal(got, wantEvents) {
			t.Fatalf("got %v of %d rows, want %v", got, len(site), wantEvents)
		}
		b.release()
	}
}

// TestEveryKeyColumnIsHashed: a type that hashKeys or sameKey does not know
// would merge rows of different keys.
func TestEveryKeyColumnIsHashed(t *testing.T) {
	for _, tab := range rows.Tables {
		for _, k := range tab.Keys() {
			if !tab.State {
				break // nothing is left out of these
			}
			switch c := tab.Columns[k]; c.Type.ID() {
			case arrow.STRING, arrow.TIMESTAMP, arrow.INT64, arrow.UINT64, arrow.INT32, arrow.UINT16:
			default:
				t.Errorf("%s.%s has type %v", tab.Name, c.Name, c.Type)
			}
		}
	}
}

func table(t testing.TB, name string) rows.Table {
	tab, ok := rows.ByName(name)
	if !ok {
		t.Fatalf("no table %s", name)
	}
	return tab
}

func pickOne(r *rand.Rand, ss ...string) string { return ss[r.IntN(len(ss))] }

func BenchmarkSeal(b *testing.B) {
	bld := rows.NewSegmentStateBuilder()
	blk := &block{table: table(b, rows.TableSegmentState)}
	for p := range 50 {
		for i := range 1000 {
			bld.Append(&rows.SegmentState{Site: "shop", Person: fmt.Sprintf("d:%032d", i*7%500), Version: uint64(p)})
		}
		batch, err := bld.Batch(0)
		if err != nil {
			b.Fatal(err)
		}
		part, err := decode(batch, time.Time{})
		if err != nil {
			b.Fatal(err)
		}
		blk.add(part)
	}
	b.ReportAllocs()
	for b.Loop() {
		blk.seal()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50_000, "ns/row")
}

// BenchmarkInsert writes 50,000 sessions an insert into the real server.
func BenchmarkInsert(b *testing.B) {
	dsn, conn := database(b, server)
	defer conn.Close()
	w, err := Open(b.Context(), Config{DSN: dsn, MaxRows: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	bld := rows.NewSessionBuilder()
	version := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		for range 50 {
			for i := range 1000 {
				version++
				bld.Append(&rows.Session{Site: "shop", Device: fmt.Sprintf("d:%032d", version), Start: int64(i), Path: "home>list>product", DeviceType: "mobile", OS: "ios", Network: "4g", Version: version})
			}
			batch, err := bld.Batch(0)
			if err != nil {
				b.Fatal(err)
			}
			if err := w.Add(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50_000, "ns/row")
}
