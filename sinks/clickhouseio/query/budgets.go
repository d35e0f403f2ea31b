package query

import (
	"fmt"
	"time"

	"github.com/microseg/microseg/rows"
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

// check holds each budget against a window of wall clock up to now. Waiting in
// the log is part of computing, or it would be in nobody's budget.
func (b Budgets) check(measured map[string]recentLatency, window time.Duration) []Check {
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
	var out []Check
	for _, p := range parts {
		var v *float64
		m, few := measured[p.stage], false
		if m.events > 0 {
			v, few = &m.p95, m.events < fewEvents
		}
		c := within(p.kind, v, p.limit, fmt.Sprintf("%s (p95, %s)", p.what, lastOf(window)))
		if few {
			c.OK = true
			c.Message += fmt.Sprintf("; %d events are too few to judge, %d are enough", m.events, fewEvents)
		}
		out = append(out, c)
	}
	return out
}
