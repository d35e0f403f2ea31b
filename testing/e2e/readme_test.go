package e2e

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
)

var sqlBlock = regexp.MustCompile("(?s)```sql\n(.*?)```")

// TestReadmeQueries: every query in the README runs, and finds something.
func TestReadmeQueries(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	check(t, err)
	queries := sqlBlock.FindAllSubmatch(text, -1)
	if len(queries) < 5 {
		t.Fatalf("the README has %d queries", len(queries))
	}
	const site = "readme"
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	j, conn := replaying(t, log.Brokers(), site, io.NopCloser(bytes.NewReader(bytes.Join(visit(t), []byte("\n")))), false, func(*config.Config) {})
	// The audience is that of all shards' time, which passes when all are read and idle.
	waitFor(t, "the audience", func() bool {
		return count(t, conn, "SELECT count() FROM audience_dedup WHERE site = ? AND toUnixTimestamp(minute) % 600 = 0", site) > 0
	})
	check(t, j.Stop())
	ctx := clickhouse.Context(context.Background(), clickhouse.WithParameters(clickhouse.Parameters{"site": site}))
	for _, q := range queries {
		rows, err := conn.Query(ctx, string(q[1]))
		if err != nil {
			t.Errorf("%s\n%v", q[1], err)
			continue
		}
		if !rows.Next() {
			t.Errorf("%s\nfinds nothing (%v)", q[1], rows.Err())
		}
		check(t, rows.Close())
	}
}
