package clickhouseio

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/rows"
)

// one makes a batch of rs.
func one[R any](t *testing.T, b *rows.Builder[R], rs ...R) rows.Batch {
	t.Helper()
	for i := range rs {
		b.Append(&rs[i])
	}
	batch, err := b.Batch(0)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func states(t *testing.T, rs ...rows.SegmentState) rows.Batch {
	return one(t, rows.NewSegmentStateBuilder(), rs...)
}

func events(t *testing.T, rs ...rows.SegmentEvent) rows.Batch {
	return one(t, rows.NewSegmentEventBuilder(), rs...)
}

func open(t *testing.T, cfg Config) *Writer {
	t.Helper()
	w, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func add(t *testing.T, w *Writer, bs ...rows.Batch) {
	t.Helper()
	for _, b := range bs {
		if err := w.Add(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func flush(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// text reads a whole query as text, a line a row. A server that was stopped may abort
// behind the last answer and be started again (away.resume): then it is asked again.
func text(t *testing.T, conn driver.Conn, q string) string {
	t.Helper()
	var rs driver.Rows
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		var err error
		rs, err = conn.Query(t.Context(), "SELECT arrayStringConcat(arrayMap(x -> toString(x), [*]), ' ') FROM ("+q+")")
		if err == nil {
			break
		}
		var refused *clickhouse.Exception
		aborting := errors.As(err, &refused) && refused.Code == 236 // it still answers, and will be started again
		if refused != nil && !aborting || time.Now().After(end) {
			t.Fatalf("%s: %v", q, err)
		}
	}
	defer rs.Close()
	var b strings.Builder
	for rs.Next() {
		var s string
		if err := rs.Scan(&s); err != nil {
			t.Fatal(err)
		}
		b.WriteString(s + "\n")
	}
	return b.String()
}

func TestCoalescingKeepsTheNewestVersion(t *testing.T) {
	dsn, conn := database(t, server)
	w := open(t, Config{DSN: dsn})
	add(t, w,
		states(t, rows.SegmentState{Site: "s", Person: "a", Path: "old", Version: 1}, rows.SegmentState{Site: "s", Person: "b", Path: "new", Version: 9}),
		states(t, rows.SegmentState{Site: "s", Person: "a", Path: "new", Version: 2}, rows.SegmentState{Site: "s", Person: "b", Path: "old", Version: 8},
			rows.SegmentState{Site: "other", Person: "a", Path: "other", Version: 1}))
	// Events are facts, not states: all of them are kept.
	add(t, w, events(t, rows.SegmentEvent{Site: "s", Person: "a", Transition: 1, Node: "n", Version: 1}, rows.SegmentEvent{Site: "s", Person: "a", Transition: 1, Node: "n", Version: 2}))
	flush(t, w)
	if got := text(t, conn, "SELECT site, person, path FROM segment_state ORDER BY ALL"); got != "other a other\ns a new\ns b new\n" {
		t.Errorf("states:\n%s", got)
	}
	// The raw table may have been merged already; the writer sent both.
	if s := w.Stats(); s.Rows != 7 || s.Inserted != 5 || s.Inserts != 2 || s.PendingRows != 0 || s.PendingBytes != 0 {
		t.Errorf("stats %+v", s)
	}
	if n := scan[uint64](t, conn, "SELECT count() FROM segment_events_dedup"); n != 1 {
		t.Errorf("%d events once", n)
	}
}

// TestTheSameInsertTwiceIsOne: an answer that was lost is repeated with the
// same token, and the server must drop it. By default MergeTree does not.
func TestTheSameInsertTwiceIsOne(t *testing.T) {
	dsn, conn := database(t, server)
	if err := conn.Exec(t.Context(), "SYSTEM STOP MERGES segment_events"); err != nil {
		t.Fatal(err)
	}
	batch := events(t, rows.SegmentEvent{Site: "s", Person: "a", Transition: 1, Node: "n"})
	for range 2 {
		w := open(t, Config{DSN: dsn})
		add(t, w, batch)
		flush(t, w)
	}
	if n := scan[uint64](t, conn, "SELECT count() FROM segment_events"); n != 1 {
		t.Fatalf("%d rows after the same insert twice", n)
	}
	w := open(t, Config{DSN: dsn})
	add(t, w, batch, events(t, rows.SegmentEvent{Site: "s", Person: "b"}))
	flush(t, w)
	if n := scan[uint64](t, conn, "SELECT count() FROM segment_events"); n != 3 {
		t.Fatalf("%d rows after another insert, want 3: it is not a repetition", n)
	}
}

func TestValuesComeBack(t *testing.T) {
	dsn, conn := database(t, server)
	w := open(t, Config{DSN: dsn})
	at := time.Date(2026, 3, 1, 12, 30, 15, 678e6, time.UTC)
	ms := at.UnixMilli()
	add(t, w, one(t, rows.NewAudienceBuilder(),
		rows.Audience{Site: "s", Minute: at.Truncate(time.Minute).UnixMilli(), Path: "everyone", Share: 1, Flipped: -1, StaleShare: math.NaN(), SignalWeight: 0.25, Active: true}))
	add(t, w, one(t, rows.NewDeadLetterBuilder(),
		rows.DeadLetter{Site: "s", Offset: 1, Reason: "future", EventTime: math.MaxInt64, Payload: "\xff\x00{"},
		rows.DeadLetter{Site: "s", Offset: 2, Appended: ms},
		rows.DeadLetter{Site: "s", Offset: 3, EventTime: ms}))
	add(t, w, states(t, rows.SegmentState{Site: "s", Person: "a", Since: ms, Version: math.MaxUint64, Intent: 0.1}))
	flush(t, w)
	for q, want := range map[string]string{
		"SELECT toString(minute), toString(flipped), toString(stale_share IS NULL), toString(signal_weight), toString(active) FROM audience": "2026-03-01 12:30:00 -1 1 0.25 1\n",
		"SELECT ifNull(toString(event_time), 'NULL') FROM dead_letters ORDER BY offset":                                                      "2261-12-31 00:00:00.000\nNULL\n2026-03-01 12:30:15.678\n",
		"SELECT hex(payload) FROM dead_letters WHERE offset = 1":                                                                             "FF007B\n",
		"SELECT toString(since), toString(next_evaluation), toString(version), toString(intent) FROM segment_state":                          "2026-03-01 12:30:15.678 1970-01-01 00:00:00.000 18446744073709551615 0.1\n",
	} {
		if got := text(t, conn, q); got != want {
			t.Errorf("%s:\n%swant %s", q, got, want)
		}
	}
}

func TestABatchThatDoesNotFitIsRefusedAlone(t *testing.T) {
	dsn, conn := database(t, server)
	w := open(t, Config{DSN: dsn})
	good := states(t, rows.SegmentState{Site: "s", Person: "a"})
	for name, bad := range map[string]rows.Batch{
		"no such table": {Table: "nothing", Rows: 1, Data: good.Data},
		"other table":   {Table: rows.TableSessions, Rows: 1, Data: good.Data},
		"not Arrow":     {Table: rows.TableSessions, Rows: 1, Data: []byte("hello")},
		"cut off":       {Table: rows.TableSegmentState, Rows: 1, Data: good.Data[:len(good.Data)/2]},
		"wrong count":   {Table: rows.TableSegmentState, Rows: 2, Data: good.Data},
	} {
		if err := w.Add(t.Context(), bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	add(t, w, good)
	flush(t, w)
	if n := scan[uint64](t, conn, "SELECT count() FROM segment_state"); n != 1 {
		t.Fatalf("%d rows", n)
	}
}

func TestWhatCannotSucceedIsVisibleForGood(t *testing.T) {
	dsn, conn := database(t, server)
	if err := conn.Exec(t.Context(), "DROP TABLE segment_events"); err != nil {
		t.Fatal(err)
	}
	w := open(t, Config{DSN: dsn})
	add(t, w, events(t, rows.SegmentEvent{Site: "s"}), one(t, rows.NewProgressBuilder(), rows.Progress{Site: "s", Offset: 7}))
	err := w.Flush(t.Context())
	var insert *InsertError
	if !errors.As(err, &insert) || insert.Table != rows.TableSegmentEvents || insert.Attempts != 1 || Retryable(err) {
		t.Fatalf("error %v", err)
	}
	if err := w.Add(t.Context(), states(t, rows.SegmentState{})); err == nil {
		t.Error("Add after a failed insert succeeds")
	}
	if err := w.Flush(t.Context()); err == nil {
		t.Error("Flush after a failed insert succeeds")
	}
	if n := scan[uint64](t, conn, "SELECT count() FROM progress"); n != 0 {
		t.Error("progress was written although what it covers was not")
	}
	if err := w.Close(); err == nil {
		t.Error("Close after a failed insert says nothing")
	}
}

// TestProgressComesLast looks at the order of the confirmations.
func TestProgressComesLast(t *testing.T) {
	dsn, _ := database(t, server)
	w := open(t, Config{DSN: dsn})
	var mu sync.Mutex
	var order []string
	w.mu.Lock()
	w.callback = func(table string, n int, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, fmt.Sprint(table, n))
		if took <= 0 {
			t.Errorf("%s took %v", table, took)
		}
	}
	w.mu.Unlock()
	for range 5 {
		add(t, w, one(t, rows.NewProgressBuilder(), rows.Progress{Site: "s"}), events(t, rows.SegmentEvent{Site: "s"}),
			one(t, rows.NewSessionBuilder(), rows.Session{Site: "s"}), states(t, rows.SegmentState{Site: "s"}))
		flush(t, w)
	}
	if len(order) != 20 {
		t.Fatalf("confirmed %v", order)
	}
	for i := 3; i < 20; i += 4 {
		if order[i] != "progress1" {
			t.Fatalf("confirmed %v", order)
		}
	}
}

func TestLingerCollects(t *testing.T) {
	dsn, conn := database(t, server)
	w := open(t, Config{DSN: dsn, Linger: 300 * time.Millisecond})
	for i := range 50 {
		add(t, w, events(t, rows.SegmentEvent{Site: "s", Transition: uint32(i)}))
	}
	if s := w.Stats(); s.Inserts != 0 || s.PendingRows != 50 {
		t.Fatalf("right after adding: %+v", s)
	}
	await(t, func() bool { return w.Stats().Inserted == 50 })
	if s := w.Stats(); s.Inserts != 1 {
		t.Fatalf("%+v", s)
	}
	if n := scan[uint64](t, conn, "SELECT count() FROM segment_events_dedup"); n != 50 {
		t.Fatalf("%d rows", n)
	}
}

func TestMaxRowsCutTheLingerShort(t *testing.T) {
	dsn, _ := database(t, server)
	w := open(t, Config{DSN: dsn, Linger: time.Hour, MaxRows: 10})
	for i := range 10 {
		add(t, w, events(t, rows.SegmentEvent{Site: "s", Transition: uint32(i)}))
	}
	await(t, func() bool { return w.Stats().Inserted == 10 })
}

// TestNoBatchIsTakenAndForgottenAtClose: the first version took a batch between the last
// flush and the end of Close, and it was never written.
func TestNoBatchIsTakenAndForgottenAtClose(t *testing.T) {
	dsn, conn := database(t, server)
	w := open(t, Config{DSN: dsn, Linger: time.Millisecond})
	var taken int
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			if w.Add(context.Background(), events(t, rows.SegmentEvent{Site: "s", Transition: uint32(i)})) != nil {
				return
			}
			taken++
		}
	}()
	time.Sleep(100 * time.Millisecond)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if n := scan[uint64](t, conn, "SELECT count() FROM segment_events_dedup"); n != uint64(taken) {
		t.Fatalf("%d rows, %d taken", n, taken)
	}
}

func TestRecordLatencyIsMeasured(t *testing.T) {
	dsn, conn := database(t, server)
	w := open(t, Config{DSN: dsn, Site: "s", Linger: 10 * time.Millisecond})
	batch := events(t, rows.SegmentEvent{Site: "s", Person: "a"}, rows.SegmentEvent{Site: "s", Person: "b"})
	batch.Decided = time.Now().Add(-5 * time.Second).UnixMilli()
	add(t, w, batch)
	flush(t, w)
	add(t, w, states(t, rows.SegmentState{Site: "s", Person: "a"}))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var n uint64
	var p50, mean float64
	err := conn.QueryRow(t.Context(), "SELECT events, p50_ms, mean_ms FROM latency_quantiles WHERE site = 's' AND stage = 'record'").Scan(&n, &p50, &mean)
	if err != nil || n != 3 || p50 < 4800 || p50 > 8000 || mean < 3000 {
		t.Fatalf("%d events, p50 %v ms, mean %v ms, %v", n, p50, mean, err)
	}
}

// TestWritersAreShared: by the bundles of one job and configuration, and by nobody else.
func TestWritersAreShared(t *testing.T) {
	dsn, conn := database(t, server)
	job, another := engine.New(t.Name()), engine.New("another")
	cfg := Config{DSN: dsn, Site: "one", Linger: time.Hour}
	other := cfg
	other.Site = "two"
	acquire := func(e *engine.Engine, cfg Config) *Writer {
		w, err := Acquire(t.Context(), e, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	a, b, c, d := acquire(job, cfg), acquire(job, cfg), acquire(job, other), acquire(another, cfg)
	if a != b || a == c || a == d {
		t.Fatal("writers are shared wrongly")
	}
	add(t, a, events(t, rows.SegmentEvent{Site: "one"}))
	if err := errors.Join(Release(job, cfg, b), Release(job, cfg, a), Release(another, cfg, d)); err != nil {
		t.Fatal(err)
	}
	if n := scan[uint64](t, conn, "SELECT count() FROM segment_events"); n != 1 {
		t.Fatalf("%d rows after the last has given it back", n)
	}
	if e := acquire(job, cfg); e == a {
		t.Fatal("a closed writer is shared")
	} else {
		add(t, e, events(t, rows.SegmentEvent{Site: "one", Transition: 1}))
	}
	if err := job.Close(); err != nil {
		t.Fatal(err)
	}
	if n := scan[uint64](t, conn, "SELECT count() FROM segment_events"); n != 2 {
		t.Fatalf("%d rows after the job has ended", n)
	}
	if err := c.Add(t.Context(), events(t, rows.SegmentEvent{Site: "two"})); !errors.Is(err, ErrClosed) {
		t.Errorf("a job that has ended left a writer: %v", err)
	}
	var ended *engine.UnknownError
	if _, err := Acquire(t.Context(), job, cfg); !errors.As(err, &ended) {
		t.Errorf("a job that has ended gets a writer: %v", err)
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it did not happen within 5 s")
}
