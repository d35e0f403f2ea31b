package query

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// inWindow are the parameters of a query about a site's window up to now.
func inWindow(site string, window time.Duration) []any {
	return []any{clickhouse.Named("site", site), clickhouse.Named("window", int64(window/time.Second))}
}

// lastOf names a window for people.
func lastOf(window time.Duration) string {
	switch n := int64(window / time.Minute); {
	case window%time.Minute != 0:
		return fmt.Sprint("last ", window)
	case n == 1:
		return "last minute"
	default:
		return fmt.Sprintf("last %d minutes", n)
	}
}

// recent is what the checks of a window look at; nil: nothing to measure. It is as
// the view health, whose window is always ten minutes.
type recent struct {
	dead    *float64 // share, of what was appended
	refresh *float64 // mean, ms
	sink    *float64 // worst minute's 99th percentile, s
	stages  map[string]recentLatency
}

type recentLatency struct {
	events    uint64
	mean, p95 float64 // ms
}

// onceWithin are the counts of a window, each once. It says so itself, since the
// view latency_dedup reads all minutes that there ever were.
const onceWithin = `
	(
		SELECT stage, minute, bucket, argMax(count, version) AS n, argMax(sum_ms, version) AS ms FROM latency
		WHERE site = @site AND minute > now() - toIntervalSecond(@window)
		GROUP BY stage, minute, job, shard, bucket
	) AS l
	INNER JOIN latency_buckets AS b ON l.bucket = b.bucket`

func readRecent(ctx context.Context, conn driver.Conn, site string, window time.Duration) (*recent, error) {
	r := &recent{stages: map[string]recentLatency{}}
	err := eachOf(ctx, conn, `SELECT stage, sum(n), sum(ms) / sum(n), quantileExactWeighted(0.95)(mid_ms, n) FROM`+onceWithin+` GROUP BY stage`,
		func(rows driver.Rows) error {
			var stage string
			var l recentLatency
			err := rows.Scan(&stage, &l.events, &l.mean, &l.p95)
			r.stages[stage] = l
			return err
		}, inWindow(site, window)...)
	var dead uint64
	if err == nil {
		err = conn.QueryRow(ctx, `SELECT
			(SELECT if(count() = 0, NULL, max(p99) / 1000) FROM (SELECT quantileExactWeighted(0.99)(mid_ms, n) AS p99 FROM`+onceWithin+` WHERE stage = 'record' GROUP BY minute)),
			(SELECT count() FROM dead_letters_dedup
				WHERE site = @site AND appended > now64(3) - toIntervalSecond(@window) AND replayed NOT IN ('good', 'duplicate'))`,
			inWindow(site, window)...).Scan(&r.sink, &dead)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what site %q did in the %s: %w", site, lastOf(window), err)
	}
	if l := r.stages["refresh"]; l.events > 0 {
		r.refresh = &l.mean
	}
	if all := dead + r.stages["compute"].events; all > 0 {
		share := float64(dead) / float64(all)
		r.dead = &share
	}
	return r, nil
}
