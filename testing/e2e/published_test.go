// Package e2e runs the whole job with real servers and compares what is in
// ClickHouse with results that others published.
package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/samples/convert"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sources/replay"
)

var server *clickhouse.Server

func TestMain(m *testing.M) {
	clickhouse.HandleChild()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "microseg-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if server, err = clickhouse.Start(context.Background(), clickhouse.Options{Dir: dir}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Stop()
	return m.Run()
}

// replayAll runs the job over src in a log of its own and returns a connection to what it recorded.
func replayAll(t *testing.T, site string, src io.ReadCloser, sort bool, change func(*config.Config)) driver.Conn {
	t.Helper()
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	return replayTo(t, log.Brokers(), site, src, sort, change)
}

// replayTo does the same on a given log, with a topic named like the site.
func replayTo(t *testing.T, brokers []string, site string, src io.ReadCloser, sort bool, change func(*config.Config)) driver.Conn {
	t.Helper()
	j, conn := replaying(t, brokers, site, src, sort, change)
	check(t, j.Stop())
	return conn
}

// replaying is replayTo with the job still running.
func replaying(t *testing.T, brokers []string, site string, src io.ReadCloser, sort bool, change func(*config.Config)) (*pipelines.Job, driver.Conn) {
	t.Helper()
	return replayingOn(t, pipelines.LocalRunner, brokers, site, src, sort, change)
}

// replayingOn is replaying on a runner.
func replayingOn(t *testing.T, runner string, brokers []string, site string, src io.ReadCloser, sort bool, change func(*config.Config)) (*pipelines.Job, driver.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	check(t, kafkalog.CreateTopic(ctx, brokers, site, 4))
	cfg := config.Demo()
	change(cfg)
	j, err := pipelines.NewJob(ctx, cfg, brokers, site, site, server.DSN())
	check(t, err)
	j.Runner = runner
	check(t, j.Start(ctx))
	defer src.Close()
	r, err := replay.Run(ctx, replay.Options{Brokers: brokers, Topic: site, Reader: src, Sort: sort, Progress: io.Discard})
	check(t, err)
	conn, err := clickhouseio.Dial(server.DSN())
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	check(t, j.Drained(ctx, r.Ends))
	return j, conn
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, conn driver.Conn, query, site string) uint64 {
	t.Helper()
	var n uint64
	check(t, conn.QueryRow(context.Background(), query, site).Scan(&n))
	return n
}

const (
	sessions  = "SELECT count() FROM sessions_current WHERE site = ?"
	pageViews = "SELECT toUInt64(sum(page_views)) FROM sessions_current WHERE site = ?"
	balance   = "SELECT toUInt64(sum(read) - sum(good) - sum(duplicate) - sum(dead)) FROM (SELECT argMax(read, version) AS read, argMax(good, version) AS good, argMax(duplicate, version) AS duplicate, argMax(dead, version) AS dead FROM progress WHERE site = ? AND stage = 'device' GROUP BY partition)"
)

// TestWikipedia reproduces the session counts that the R package reconstructr
// publishes for its readers' data, through the whole job.
func TestWikipedia(t *testing.T) {
	for _, c := range []struct {
		gap  time.Duration
		want uint64
	}{{30 * time.Minute, 22_226}, {10 * time.Minute, 25_143}, {time.Hour, 20_820}} {
		src, err := convert.Open("wikipedia")
		check(t, err)
		site := fmt.Sprintf("wikipedia-%.0f", c.gap.Minutes())
		conn := replayAll(t, site, src, true, func(cfg *config.Config) { cfg.Session.Gap = c.gap })
		if n := count(t, conn, sessions, site); n != c.want {
			t.Errorf("%v: %d sessions, published are %d", c.gap, n, c.want)
		}
		if n := count(t, conn, balance, site); n != 0 {
			t.Errorf("%v: read is not good + duplicate + dead, by %d", c.gap, n)
		}
	}
}

// TestSnowplow reproduces the page views and sessions of dbt-snowplow-web's tests.
func TestSnowplow(t *testing.T) {
	src, err := convert.Open("snowplow")
	check(t, err)
	conn := replayAll(t, "snowplow", src, true, func(*config.Config) {})
	if n := count(t, conn, pageViews, "snowplow"); n != 43 {
		t.Errorf("%d page views, expected are 43", n)
	}
	src, err = convert.Open("snowplow-sessions")
	check(t, err)
	conn = replayAll(t, "snowplow-sessions", src, true, func(*config.Config) {})
	if n := count(t, conn, "SELECT uniqExact(device) FROM sessions_current WHERE site = ?", "snowplow-sessions"); n != 18 {
		t.Errorf("%d tracker sessions, expected are 18", n)
	}
}

// TestRees46 counts the sessions per user of a real shop.
func TestRees46(t *testing.T) {
	src, err := convert.Open("rees46")
	check(t, err)
	conn := replayAll(t, "rees46", src, false, func(*config.Config) {})
	if n := count(t, conn, sessions, "rees46"); n != 4518 {
		t.Errorf("%d sessions, per user at 30 minutes there are 4,518", n)
	}
}
