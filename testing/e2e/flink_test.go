//go:build flink

package e2e

import (
	"bytes"
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sources/replay"
	"github.com/microseg/microseg/testing/oracle"
)

// TestOracleOnFlink is TestOracle on Flink, at a Beam job service that runs:
//
//	MICROSEG_FLINK_ENDPOINT=localhost:8099 go test -tags flink -run Flink ./testing/e2e
//
// docs/flink.md says how to start one.
func TestOracleOnFlink(t *testing.T) {
	endpoint := os.Getenv("MICROSEG_FLINK_ENDPOINT")
	if endpoint == "" {
		t.Fatal("MICROSEG_FLINK_ENDPOINT is not set to the host:port of a Beam job service")
	}
	*jobopts.Endpoint, *jobopts.EnvironmentType, *jobopts.Parallelism = endpoint, "LOOPBACK", 2
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	const site = "oracle-flink"
	check(t, kafkalog.CreateTopic(t.Context(), log.Brokers(), site, 4))
	cfg := config.Demo()
	cfg.Source.Shards = 2
	j, err := pipelines.NewJob(t.Context(), cfg, log.Brokers(), site, site, server.DSN())
	check(t, err)
	beam.Init()
	options := maps.Clone(pipelines.FlinkOptions)
	options["state_backend"], options["state_backend_storage_path"] = "filesystem", "file://"+t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Submit(ctx, options) }()

	lines := visit(t)
	r := rand.New(rand.NewPCG(4, 1))
	file := bytes.Join(duplicate(shuffle(t, lines, r), r), []byte("\n"))
	sent, err := replay.Run(t.Context(), replay.Options{Brokers: log.Brokers(), Topic: site, Reader: io.NopCloser(bytes.NewReader(file)), Progress: io.Discard})
	check(t, err)
	check(t, j.Drained(t.Context(), sent.Ends))
	cancel() // a loopback worker's end is the job's
	check(t, <-done)
	conn, err := clickhouseio.Dial(server.DSN())
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	want, err := oracle.Run(config.Demo(), bytes.NewReader(file), time.Now().UnixMilli())
	check(t, err)
	compareSessions(t, conn, site, want)
	comparePaths(t, conn, site, want)
}
