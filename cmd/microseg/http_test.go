package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/engine/inflight"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/spillio"
)

// TestHealthNamesWhatWaits: a ClickHouse that is away degrades a job, which stays
// alive and ready, and health and metrics say what waits and why.
func TestHealthNamesWhatWaits(t *testing.T) {
	t.Parallel()
	log, err := kafkalog.Start(kafkalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	sink := clickhouseio.Config{DSN: "clickhouse://127.0.0.1:1/x", Linger: time.Millisecond, SpillAfter: 50 * time.Millisecond,
		Spill: spillio.Config{Brokers: log.Brokers()[0], Topic: "events-spill"}}
	if err := spillio.CreateTopic(t.Context(), log.Brokers(), sink.Spill.Topic); err != nil {
		t.Fatal(err)
	}
	j := &job{Job: &pipelines.Job{Config: config.Demo(), Sink: sink}}
	e := opened(t, j)
	w, err := clickhouseio.Acquire(t.Context(), e, sink)
	if err != nil {
		t.Fatal(err)
	}
	j.running.Store(j.Config)
	m, err := newMonitor(j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	mux := http.NewServeMux()
	m.probes(newRegistry(j)).admin(mux)
	get := func(path string) (int, string) {
		r := httptest.NewRecorder()
		mux.ServeHTTP(r, httptest.NewRequest("GET", path, nil))
		return r.Code, r.Body.String()
	}
	if code, text := get("/livez"); code != http.StatusOK || text != "ok\n" {
		t.Errorf("before: %d %s", code, text)
	}
	b := rows.NewSegmentEventBuilder()
	b.Append(&rows.SegmentEvent{Site: "s"})
	batch, err := b.Batch(0)
	if err == nil {
		err = w.Add(t.Context(), batch)
	}
	if err != nil {
		t.Fatal(err)
	}
	for w.Stats().Spill.Trouble == "" {
		time.Sleep(time.Millisecond)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if code, text := get(path); code != http.StatusOK || !strings.Contains(text, "degraded: 1 rows") || !strings.Contains(text, "ClickHouse is away") {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	if code, text := get("/health"); code != http.StatusServiceUnavailable || !strings.Contains(text, "degraded") {
		t.Errorf("/health: %d %s", code, text)
	}
	if _, text := get("/metrics"); !strings.Contains(text, "microseg_sink_spilled_rows 1\n") || !strings.Contains(text, "microseg_sink_blocked 0\n") {
		t.Error(text)
	}
}

// opened is the engine of a job that the test starts itself.
func opened(t *testing.T, j *job) *engine.Engine {
	t.Helper()
	j.Spec.Job = t.Name()
	e, err := j.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// TestBusyIsNotReady: while a stage was at work for half a minute, /readyz said ok and
// the lag was 0, since all had been fetched.
func TestBusyIsNotReady(t *testing.T) {
	t.Parallel()
	j := &job{Job: &pipelines.Job{Config: config.Demo(), Sink: clickhouseio.Config{DSN: "clickhouse://127.0.0.1:1/x", Spill: spillio.Config{Brokers: "127.0.0.1:1", Topic: "x"}}}}
	m, err := newMonitor(j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	w := inflight.Of(opened(t, j)).Shard(3)
	if err := w.Enter(t.Context(), 7, 1, time.Minute); err != nil {
		t.Fatal(err)
	}
	w.Holds(7, 4000)
	if err := m.ready(t.Context()); err != nil {
		t.Errorf("at once: %v", err)
	}
	m.busyAfter = 0
	if err := m.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "4000 events wait") {
		t.Errorf("for longer than it may be: %v", err)
	}
	w.Leave(7)
	if err := m.ready(t.Context()); err != nil {
		t.Errorf("when it is applied: %v", err)
	}
}
