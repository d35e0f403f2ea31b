package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/microseg/microseg/sources/replay"
	"github.com/microseg/microseg/testing/oracle"
)

// TestOracleWhileClickHouseIsAway: a job whose ClickHouse is killed goes on
// deciding and publishing, and when it is back the record is the oracle's.
func TestOracleWhileClickHouseIsAway(t *testing.T) {
	const site = "oracle-away"
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	dir := t.TempDir()
	ch, err := clickhouse.Start(t.Context(), clickhouse.Options{Dir: dir})
	check(t, err)
	if !ch.Embedded() {
		t.Fatalf("this test kills its server: unset %s", clickhouse.DSNEnv)
	}
	var port int
	_, err = fmt.Sscanf(ch.Addr(), "127.0.0.1:%d", &port)
	check(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	check(t, kafkalog.CreateTopic(ctx, log.Brokers(), site, 4))
	cfg := config.Demo()
	cfg.Sink.Linger, cfg.Sink.SpillAfter = 100*time.Millisecond, 500*time.Millisecond
	j, err := pipelines.NewJob(ctx, cfg, log.Brokers(), site, site, ch.DSN())
	check(t, err)
	check(t, j.Start(ctx))
	lines := visit(t)
	ends := map[int32]int64{}
	send := func(lines [][]byte) {
		t.Helper()
		r, err := replay.Run(ctx, replay.Options{Brokers: log.Brokers(), Topic: site, Reader: io.NopCloser(bytes.NewReader(bytes.Join(lines, []byte("\n")))), Progress: io.Discard})
		check(t, err)
		maps.Copy(ends, r.Ends)
	}
	stats := func() clickhouseio.Stats {
		s, _, err := clickhouseio.StatsOf(j.Engine(), j.Sink)
		check(t, err)
		return s
	}
	third := len(lines) / 3
	send(lines[:third])
	check(t, j.Drained(ctx, ends))
	ch.Kill()
	published := segmentsio.Of(j.Engine()).Published()
	send(lines[third : 2*third])
	waitFor(t, "records of what came while ClickHouse is away", func() bool { return segmentsio.Of(j.Engine()).Published() > published })
	waitFor(t, "a spill", func() bool { return stats().Spill.Records > 0 })
	published = segmentsio.Of(j.Engine()).Published()
	send(lines[2*third:])
	waitFor(t, "records of what came after the first spill", func() bool { return segmentsio.Of(j.Engine()).Published() > published })
	ch, err = clickhouse.Start(ctx, clickhouse.Options{Dir: dir, TCPPort: port})
	check(t, err)
	t.Cleanup(func() { check(t, ch.Stop()) })
	check(t, j.Drained(ctx, ends))
	check(t, j.Stop())
	conn, err := clickhouseio.Dial(ch.DSN())
	check(t, err)
	defer conn.Close()
	want, err := oracle.Run(config.Demo(), bytes.NewReader(bytes.Join(lines, []byte("\n"))), time.Now().UnixMilli())
	check(t, err)
	compareSessions(t, conn, site, want)
	comparePaths(t, conn, site, want)
}
