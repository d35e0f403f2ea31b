package clickhouseio

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/microseg/microseg/measure/latency"
)

func measuring(t *testing.T, dsn string, stages map[string]*latency.Minutes) *Measurements {
	t.Helper()
	m, err := Measure(dsn, "s", stages)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// counted are the events of a stage, each once.
func counted(t *testing.T, conn driver.Conn, stage string) uint64 {
	t.Helper()
	return scan[uint64](t, conn, "SELECT sum(count) FROM latency_dedup WHERE site = 's' AND stage = ?", stage)
}

// TestMeasurements: nodes wrote no latencies, so that the budgets of delivery and of
// the whole way measured nothing. What several nodes write adds up, and what one
// writes again, or at its end, counts once.
func TestMeasurements(t *testing.T) {
	t.Parallel()
	dsn, conn := database(t, server)
	now := time.Now()
	for range 2 { // nodes
		var deliver, respond, never latency.Minutes
		m := measuring(t, dsn, map[string]*latency.Minutes{StageDeliver: &deliver, StageRespond: &respond, StageWhole: &never})
		deliver.Observe(now.Add(-time.Minute), 30*time.Millisecond)
		deliver.Observe(now, 40*time.Millisecond)
		m.write()
		deliver.Observe(now, 40*time.Millisecond)
		m.write()
		m.write()
		respond.Observe(now, time.Millisecond)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if s := m.Stats(); s.Failed > 0 || s.Lost > 0 || s.Rows < 4 || m.Trouble() != "" {
			t.Errorf("%+v, %q", s, m.Trouble())
		}
	}
	for stage, want := range map[string]uint64{StageDeliver: 6, StageRespond: 2, StageWhole: 0} {
		if n := counted(t, conn, stage); n != want {
			t.Errorf("%s: %d events, want %d", stage, n, want)
		}
	}
	if n := scan[uint64](t, conn, "SELECT uniqExact(job, minute) FROM latency WHERE stage = 'deliver'"); n != 4 {
		t.Errorf("%d minutes of nodes, want 4", n)
	}
}

// TestMeasuringWithoutClickHouse costs a node nothing but a note: it goes on, what it
// counted is written when the server is back, and its end does not wait.
func TestMeasuringWithoutClickHouse(t *testing.T) {
	t.Parallel()
	dsn, conn := database(t, server)
	var deliver latency.Minutes
	stages := map[string]*latency.Minutes{StageDeliver: &deliver}
	// The table that is not there stands for a server that refuses; one that is not
	// there at all is tried below.
	if err := conn.Exec(t.Context(), "RENAME TABLE latency TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	m := measuring(t, dsn, stages)
	for i := range 3 {
		deliver.Observe(time.Now(), time.Millisecond)
		if m.write(); m.Stats().Failed < uint64(i+1) || !strings.Contains(m.Trouble(), "wait for ClickHouse since") {
			t.Errorf("%+v, %q", m.Stats(), m.Trouble())
		}
	}
	if err := conn.Exec(t.Context(), "RENAME TABLE elsewhere TO latency"); err != nil {
		t.Fatal(err)
	}
	if m.write(); m.Trouble() != "" || counted(t, conn, StageDeliver) != 3 {
		t.Errorf("%d events, %q", counted(t, conn, StageDeliver), m.Trouble())
	}

	away := measuring(t, "clickhouse://127.0.0.1:1/x", stages)
	deliver.Observe(time.Now(), time.Millisecond)
	if err := away.Close(); err != nil || away.Stats().Failed == 0 {
		t.Errorf("%v, %+v", err, away.Stats())
	}
	// One that stands still takes connections and never greets.
	still, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer still.Close()
	standing, began := measuring(t, "clickhouse://"+still.Addr().String()+"/x", stages), time.Now()
	if err := standing.Close(); err != nil || standing.Stats().Failed == 0 || time.Since(began) > 20*time.Second {
		t.Errorf("%v, %+v after %v", err, standing.Stats(), time.Since(began))
	}
	if _, err := Measure("no dsn", "s", stages); err == nil {
		t.Error("no DSN was taken")
	}
	if _, err := Measure("", "s", stages); err == nil {
		t.Error("an empty DSN was taken")
	}
}
