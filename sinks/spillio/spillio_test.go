package spillio

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/rows"
)

func start(t *testing.T) Config {
	t.Helper()
	log, err := kafkalog.Start(kafkalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	cfg := Config{Brokers: strings.Join(log.Brokers(), ","), Topic: Topic("events")}
	for range 2 { // one that exists stays
		if err := CreateTopic(t.Context(), log.Brokers(), cfg.Topic); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func open(t *testing.T, cfg Config) *Log {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// TestQueue: random appends, reads, commits and restarts against a slice.
func TestQueue(t *testing.T) {
	t.Parallel()
	cfg := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := rand.New(rand.NewPCG(1, 2))
	l := open(t, cfg)
	if got, err := l.Range(ctx); err != nil || got != (Range{}) {
		t.Fatalf("of a new topic: %+v, %v", got, err)
	}
	var want []rows.Batch // that wait
	var from, end int64
	for step := range 150 {
		switch r.IntN(4) {
		case 0, 1:
			var batches []rows.Batch
			for range 1 + r.IntN(5) {
				data := bytes.Repeat([]byte{byte(step)}, 1+r.IntN(2*RecordBytes))
				batches = append(batches, rows.Batch{Table: "t", Rows: 1 + r.IntN(len(data)), Decided: r.Int64N(1 << 40), Data: data})
			}
			e, err := l.Append(ctx, batches)
			if err != nil {
				t.Fatal(err)
			}
			end, want = e, append(want, batches...)
		case 2:
			if len(want) == 0 {
				continue
			}
			limit := Limit{Rows: 1 + r.IntN(1<<20), Bytes: 1 + r.IntN(4<<20)}
			got, err := l.Read(ctx, from, end, limit)
			if err != nil || len(got) == 0 {
				t.Fatal(got, err)
			}
			for i, g := range got {
				if !reflect.DeepEqual(g.Batch, want[i]) || g.Offset != from+int64(i) || g.Appended.IsZero() {
					t.Fatalf("step %d, record %d: offset %d, %d rows of %s", step, i, g.Offset, g.Batch.Rows, g.Batch.Table)
				}
			}
			if r.IntN(2) == 0 {
				from = got[len(got)-1].Offset + 1
				want = want[len(got):]
				if err := l.Done(ctx, from); err != nil {
					t.Fatal(err)
				}
			}
		case 3:
			l.Close()
			l = open(t, cfg)
			got, err := l.Range(ctx)
			var w Totals
			for _, b := range want {
				w.Rows, w.Bytes = w.Rows+uint64(b.Rows), w.Bytes+uint64(len(b.Data))
			}
			if err != nil || got.From != from || got.End != end || got.Waiting != w || got.Oldest.IsZero() != (len(want) == 0) {
				t.Fatalf("step %d: %+v, %v; want %d to %d, %+v", step, got, err, from, end, w)
			}
		}
	}
}

// TestNothingWaitsForEver: a log that is away is an error, soon enough.
func TestNothingWaitsForEver(t *testing.T) {
	t.Parallel()
	l := open(t, Config{Brokers: "127.0.0.1:1", Topic: "x"})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := l.Range(ctx); err == nil {
		t.Error("Range succeeds")
	}
	if _, err := l.Append(ctx, []rows.Batch{{Table: "t", Rows: 1, Data: []byte("x")}}); err == nil {
		t.Error("Append succeeds")
	}
	if _, err := l.Read(ctx, 0, 1, Limit{1, 1}); err == nil {
		t.Error("Read succeeds")
	}
	if err := l.Done(ctx, 1); err == nil {
		t.Error("Done succeeds")
	}
}

// TestForeignRecords: what somebody else has written is named, and not skipped.
func TestForeignRecords(t *testing.T) {
	t.Parallel()
	cfg := start(t)
	l := open(t, cfg)
	if err := l.client.ProduceSync(t.Context(), &kgo.Record{Value: []byte("hello")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(t.Context(), 0, 1, Limit{1, 1}); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "offset 0") {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	r := Record{Batch: rows.Batch{Rows: 3, Decided: 5, Data: []byte("four")}, Before: Totals{1, 2}}
	f.Add(r.header(), []byte("four"))
	f.Add([]byte{2}, []byte{})
	f.Add([]byte(nil), []byte{})
	f.Fuzz(func(t *testing.T, header, value []byte) {
		got, err := parse(&kgo.Record{Key: []byte("t"), Value: value, Headers: []kgo.RecordHeader{{Key: headerKey, Value: header}}})
		if err != nil {
			if !errors.Is(err, ErrForeign) {
				t.Fatal(err)
			}
			return
		}
		again, err := parse(&kgo.Record{Key: []byte("t"), Value: value, Headers: []kgo.RecordHeader{{Key: headerKey, Value: got.header()}}})
		if err != nil || !reflect.DeepEqual(got, again) || got.Batch.Rows > len(value) || got.Batch.Decided < 0 {
			t.Fatalf("%+v, again %+v, %v", got, again, err)
		}
	})
}
