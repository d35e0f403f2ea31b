package query

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/microseg/microseg/transforms/rows"
)

// Budgets are how long the parts of an event's way may take: the 95th percentile,
// above: alert; 0: not judged.
type Budgets struct {
	Ingest  time.Duration // client to log
	Compute time.Duration // log to decided
	Deliver time.Duration // decided to a serving node's memory
	Whole   time.Duration // client to a serving node's memory
}

// DefaultBudgets are the brief's.
var DefaultBudgets = Budgets{Ingest: 300 * time.Millisecond, Compute: 400 * time.Millisecond, Deliver: 450 * time.Millisecond, Whole: 500 * time.Millisecond}

// fewEvents are not judged: the 95th percentile of fewer is their slowest one, and
// one visitor on a bad line would be an alert.
const fewEvents = 20

// check holds each budget against the last ten minutes of wall clock. Waiting in
// the log is part of computing, or it would be in nobody's budget.
func (b Budgets) check(ctx context.Context, conn driver.Conn, site string) ([]Check, error) {
	parts := []struct {
		kind, stage string
		limit       time.Duration
		what        string
	}{
		{rows.AlertIngestBudget, "ingest", b.Ingest, "the time from the client to the log"},
		{rows.AlertComputeBudget, "refresh", b.Compute, "the time from the log to the decision"},
		{rows.AlertDeliverBudget, "deliver", b.Deliver, "the time from the decision to a serving node's memory"},
		{rows.AlertWholeBudget, "whole", b.Whole, "the time from the client to a serving node's memory"},
	}
	measured, err := recentLatencies(ctx, conn, site)
	if err != nil {
		return nil, err
	}
	var out []Check
	for _, p := range parts {
		var v *float64
		m, few := measured[p.stage], false
		if m.events > 0 {
			v, few = &m.p95, m.events < fewEvents
		}
		c := within(p.kind, v, p.limit, p.what+" (p95, last 10 minutes)")
		if few {
			c.OK = true
			c.Message += fmt.Sprintf("; %d events are too few to judge, %d are enough", m.events, fewEvents)
		}
		out = append(out, c)
	}
	return out, nil
}

type recentLatency struct {
	events uint64
	p95    float64 // ms
}

// recentLatencies are those of the last ten minutes by stage.
func recentLatencies(ctx context.Context, conn driver.Conn, site string) (map[string]recentLatency, error) {
	out := map[string]recentLatency{}
	err := each(ctx, conn, `SELECT stage, sum(n) AS events, quantileExactWeighted(0.95)(b.mid_ms, n) AS p95 FROM
		(
			SELECT stage, bucket, argMax(count, version) AS n FROM latency
			WHERE site = ? AND stage IN ('ingest', 'refresh', 'deliver', 'whole') AND minute > now() - INTERVAL 10 MINUTE
			GROUP BY stage, minute, job, shard, bucket
		) AS l
		INNER JOIN latency_buckets AS b ON l.bucket = b.bucket
		GROUP BY stage`, site, func(rows driver.Rows) error {
		var stage string
		var l recentLatency
		err := rows.Scan(&stage, &l.events, &l.p95)
		out[stage] = l
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the latencies of site %q: %w", site, err)
	}
	return out, nil
}
