package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/samples/simulate"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sources/replay"
	"github.com/microseg/microseg/testing/harness/kafka"
	"github.com/microseg/microseg/testing/oracle"
	"github.com/microseg/microseg/transforms"
)

// visit makes an hour of simulated visitors, one event a line, in time order.
func visit(t *testing.T) (lines [][]byte) {
	t.Helper()
	start := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	check(t, simulate.Run(simulate.Options{Seed: 7, Start: start, Duration: time.Hour, Visitors: 150}, func(line []byte) error {
		lines = append(lines, bytes.Clone(line))
		return nil
	}))
	return lines
}

// shuffle moves events by up to nine minutes of event time: within the allowed lateness.
func shuffle(t *testing.T, lines [][]byte, r *rand.Rand) [][]byte {
	type keyed struct {
		at   time.Time
		line []byte
	}
	var ks []keyed
	for _, l := range lines {
		var e struct{ Timestamp time.Time }
		check(t, json.Unmarshal(l, &e))
		ks = append(ks, keyed{e.Timestamp.Add(time.Duration(r.Int64N(int64(9 * time.Minute)))), l})
	}
	slices.SortStableFunc(ks, func(a, b keyed) int { return a.at.Compare(b.at) })
	var out [][]byte
	for _, k := range ks {
		out = append(out, k.line)
	}
	return out
}

// duplicate repeats 30 % of the events, at once or some lines later.
func duplicate(lines [][]byte, r *rand.Rand) [][]byte {
	var out [][]byte
	for i, l := range lines {
		out = append(out, l)
		if r.IntN(10) < 3 {
			out = append(out, lines[max(0, i-r.IntN(20))])
		}
	}
	return out
}

// TestOracle compares what the job recorded with the naive oracle over the same
// file: verdicts, every session, every person's path.
func TestOracle(t *testing.T) {
	lines := visit(t)
	r := rand.New(rand.NewPCG(1, 1))
	for name, input := range map[string][][]byte{"ordered": lines, "shuffled": shuffle(t, lines, r), "duplicated": duplicate(lines, r)} {
		t.Run(name, func(t *testing.T) {
			// Bad records of each kind must not disturb the rest.
			input = append([][]byte{[]byte("no json"), []byte(`{"type":"page"}`)}, input...)
			file := bytes.Join(input, []byte("\n"))
			one := func(cfg *config.Config) { cfg.Source.Shards = 2 }
			site := "oracle-" + name
			conn := replayAll(t, site, io.NopCloser(bytes.NewReader(file)), false, one)
			want, err := oracle.Run(config.Demo(), bytes.NewReader(file), time.Now().UnixMilli())
			check(t, err)
			compareVerdicts(t, conn, site, want)
			compareSessions(t, conn, site, want)
			comparePaths(t, conn, site, want)
		})
	}
}

// TestOracleOnPrism is the same on Beam's own runner in the process (--runner prism).
func TestOracleOnPrism(t *testing.T) {
	const site = "oracle-prism"
	log, err := kafkalog.Start(kafkalog.Options{})
	check(t, err)
	t.Cleanup(log.Close)
	file := bytes.Join(shuffle(t, visit(t), rand.New(rand.NewPCG(4, 1))), []byte("\n"))
	j, conn := replayingOn(t, pipelines.PrismRunner, log.Brokers(), site, io.NopCloser(bytes.NewReader(file)), false, func(cfg *config.Config) { cfg.Source.Shards = 2 })
	check(t, j.Stop())
	want, err := oracle.Run(config.Demo(), bytes.NewReader(file), time.Now().UnixMilli())
	check(t, err)
	compareVerdicts(t, conn, site, want)
	compareSessions(t, conn, site, want)
	comparePaths(t, conn, site, want)
}

// TestOracleWhereTheRunnerKeepsTheStates is the same with the graph that other runners get:
// states are the runner's, rows are inserted before their bundle ends, and no changelog is
// there. It runs on ours, whose value and bag state ends with the run.
func TestOracleWhereTheRunnerKeepsTheStates(t *testing.T) {
	const site = "oracle-portable"
	log, err := kafkalog.Start(kafkalog.Options{})
	check(t, err)
	t.Cleanup(log.Close)
	check(t, kafkalog.CreateTopic(t.Context(), log.Brokers(), site, 4))
	file := bytes.Join(duplicate(shuffle(t, visit(t), rand.New(rand.NewPCG(5, 1))), rand.New(rand.NewPCG(6, 1))), []byte("\n"))
	cfg := config.Demo()
	cfg.Source.Shards = 2
	j, err := pipelines.NewJob(t.Context(), cfg, log.Brokers(), site, site, server.DSN())
	check(t, err)
	done := make(chan error, 1)
	go func() { done <- j.Run(t.Context(), pipelines.LocalRunner) }()
	sent, err := replay.Run(t.Context(), replay.Options{Brokers: log.Brokers(), Topic: site, Reader: io.NopCloser(bytes.NewReader(file)), Progress: io.Discard})
	check(t, err)
	check(t, j.Drained(t.Context(), sent.Ends))
	stats := transforms.StatsOf(j.Engine())
	j.Engine().Stop()
	check(t, <-done)
	if stats.Reloads == 0 {
		t.Error("the runner does not keep the states")
	}
	if slices.Contains(engine.Opened(), j.Name()) {
		t.Errorf("%s has ended, and is still open", j.Name())
	}
	conn, err := clickhouseio.Dial(server.DSN())
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	want, err := oracle.Run(config.Demo(), bytes.NewReader(file), time.Now().UnixMilli())
	check(t, err)
	compareVerdicts(t, conn, site, want)
	compareSessions(t, conn, site, want)
	comparePaths(t, conn, site, want)
}

// TestOracleOnKafka is the same on Apache Kafka instead of the embedded log.
func TestOracleOnKafka(t *testing.T) {
	broker, err := kafka.Start(t.Context(), t.TempDir())
	check(t, err)
	t.Cleanup(func() { check(t, broker.Stop()) })
	lines := visit(t)
	file := bytes.Join(duplicate(shuffle(t, lines, rand.New(rand.NewPCG(2, 1))), rand.New(rand.NewPCG(3, 1))), []byte("\n"))
	conn := replayTo(t, []string{broker.Brokers()[0]}, "oracle-kafka", io.NopCloser(bytes.NewReader(file)), false, func(*config.Config) {})
	want, err := oracle.Run(config.Demo(), bytes.NewReader(file), time.Now().UnixMilli())
	check(t, err)
	compareVerdicts(t, conn, "oracle-kafka", want)
	compareSessions(t, conn, "oracle-kafka", want)
	comparePaths(t, conn, "oracle-kafka", want)
}

func compareSessions(t *testing.T, conn driver.Conn, site string, want *oracle.Result) {
	t.Helper()
	rows, err := conn.Query(context.Background(), "SELECT device, toUnixTimestamp64Milli(start), toUnixTimestamp64Milli(end), events FROM sessions_current WHERE site = ? ORDER BY device, start", site)
	check(t, err)
	defer rows.Close()
	i, bad := 0, 0
	for ; rows.Next(); i++ {
		var s oracle.Session
		check(t, rows.Scan(&s.Device, &s.Start, &s.End, &s.Events))
		if i < len(want.Sessions) {
			w := want.Sessions[i]
			if w.PageViews = 0; s != w && bad < 5 {
				bad++
				t.Errorf("session %+v, the oracle has %+v", s, w)
			}
		}
	}
	if i != len(want.Sessions) {
		t.Errorf("%d sessions, the oracle has %d", i, len(want.Sessions))
	}
}

func compareVerdicts(t *testing.T, conn driver.Conn, site string, want *oracle.Result) {
	t.Helper()
	var good, duplicate, dead uint64
	check(t, conn.QueryRow(context.Background(), "SELECT good_events, duplicate_events, dead_events FROM events_summary WHERE site = ?", site).Scan(&good, &duplicate, &dead))
	if int(good) != want.Good || int(duplicate) != want.Duplicate || int(dead) != want.Dead {
		t.Errorf("good %d, duplicate %d, dead %d; the oracle has %d, %d, %d", good, duplicate, dead, want.Good, want.Duplicate, want.Dead)
	}
}

func comparePaths(t *testing.T, conn driver.Conn, site string, want *oracle.Result) {
	t.Helper()
	rows, err := conn.Query(context.Background(), "SELECT person, path, toUnixTimestamp64Milli(evaluated_at) FROM segments_current WHERE site = ? ORDER BY person", site)
	check(t, err)
	defer rows.Close()
	n, bad := 0, 0
	for rows.Next() {
		var person, path string
		var at int64
		check(t, rows.Scan(&person, &path, &at))
		device, unlinked := strings.CutPrefix(person, "d:")
		if !unlinked {
			continue
		}
		n++
		w, err := want.Path(device, at)
		check(t, err)
		if bad < 5 && w != path {
			bad++
			t.Errorf("%s is in %s, the oracle says %s", person, path, w)
		}
	}
	if n == 0 {
		t.Error("no person was compared")
	}
}
