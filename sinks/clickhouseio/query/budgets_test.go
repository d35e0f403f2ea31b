package query

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/rows"
)

// TestBudgets: the brief has a budget for each part of the way; only the mean from
// log to decision was looked at, so that a slow collector or node told nobody.
func TestBudgets(t *testing.T) {
	t.Parallel()
	rec := newRecord(t)
	now := time.Now()
	add := func(stage string, job uint64, ago time.Duration, ms float64, n, version uint64) {
		put(rec, rows.NewLatencyBuilder(), rows.Latency{Site: "s", Job: job, Minute: now.Add(-ago).Truncate(time.Minute).UnixMilli(), Stage: stage,
			Bucket: latency.Bucket(ms), Count: n, SumMS: ms * float64(n), Version: version})
		rec.flush()
	}
	health := func(b Budgets) (*HealthData, map[string]Check) {
		t.Helper()
		th := DefaultThresholds
		th.Budgets, th.Refresh = b, time.Hour // the mean of all is another check
		h, err := Health(t.Context(), rec.conn, "s", th)
		if err != nil {
			t.Fatal(err)
		}
		by := map[string]Check{}
		for _, c := range h.Checks {
			by[c.Kind] = c
		}
		return h, by
	}
	put(rec, rows.NewProgressBuilder(), rows.Progress{Site: "s", Stage: rows.StageDevice, Clock: t0, Watermark: t0, Version: 1})
	rec.flush()
	stages := map[string]string{"ingest_budget": "ingest", "compute_budget": "refresh", "deliver_budget": "deliver", "whole_budget": "whole"}
	h, checks := health(DefaultBudgets)
	for kind := range stages {
		if c, ok := checks[kind]; !ok || !c.OK || c.Value != nil {
			t.Errorf("without data: %+v", c)
		}
	}
	if !h.OK {
		t.Errorf("%+v", h.Alerts)
	}
	for _, stage := range stages {
		add(stage, 1, 30*time.Minute, 60_000, 1000, 1) // a bad half hour ago is over
		add(stage, 1, 2*time.Minute, 60_000, 100, 1)   // counted anew below: rows are absolute
		add(stage, 1, 2*time.Minute, 60_000, 4, 2)     // 4 %
		add(stage, 1, 2*time.Minute, 200, 48, 2)
		add(stage, 2, time.Minute, 200, 48, 1) // another node or run
	}
	h, checks = health(DefaultBudgets)
	for kind := range stages {
		if c := checks[kind]; !c.OK || c.Value == nil || math.Abs(*c.Value-200) > 7 {
			t.Errorf("96 %% in time: %+v (%v)", c, c.Value)
		}
	}
	if !h.OK {
		t.Errorf("%+v", h.Alerts)
	}
	tight := 100 * time.Millisecond
	for kind, b := range map[string]Budgets{
		"ingest_budget":  {tight, time.Second, time.Second, time.Second},
		"compute_budget": {time.Second, tight, time.Second, time.Second},
		"deliver_budget": {time.Second, time.Second, tight, time.Second},
		"whole_budget":   {time.Second, time.Second, time.Second, tight},
	} {
		h, _ := health(b)
		if h.OK || len(h.Alerts) != 1 || h.Alerts[0].Kind != kind || h.Alerts[0].Threshold != 100 || !strings.Contains(h.Alerts[0].Message, "at most 100 ms") {
			t.Errorf("%s: %+v", kind, h.Verdict)
		}
	}
}

// TestFewEventsAreNotJudged: the 95th percentile of one visitor's three events was
// the slowest of them.
func TestFewEventsAreNotJudged(t *testing.T) {
	t.Parallel()
	rec := newRecord(t)
	put(rec, rows.NewProgressBuilder(), rows.Progress{Site: "s", Stage: rows.StageDevice, Clock: t0, Watermark: t0, Version: 1})
	minute := time.Now().Truncate(time.Minute).UnixMilli()
	for version, n := range []uint64{fewEvents - 1, fewEvents} {
		put(rec, rows.NewLatencyBuilder(), rows.Latency{Site: "s", Minute: minute, Stage: "whole", Bucket: latency.Bucket(900), Count: n, SumMS: 900, Version: uint64(version)})
		rec.flush()
		h, err := Health(t.Context(), rec.conn, "s", DefaultThresholds)
		if err != nil || h.OK != (n < fewEvents) {
			t.Errorf("%d events: %+v, %v", n, h, err)
		}
	}
}

// TestNoLimit: a latency without a limit is shown and not judged.
func TestNoLimit(t *testing.T) {
	t.Parallel()
	slow := 835.6
	if c := within("compute_budget", &slow, 0, "it"); !c.OK || *c.Value != slow || !strings.Contains(c.Message, "835.6 ms, which is not judged") {
		t.Errorf("%+v", c)
	}
	if c := within("compute_budget", &slow, 400*time.Millisecond, "it"); c.OK {
		t.Errorf("%+v", c)
	}
	if c := within("compute_budget", nil, 0, "it"); !c.OK {
		t.Errorf("%+v", c)
	}
}

// TestHealthLooksAtItsWindow: ten minutes were fixed, and a site of few events has
// nothing to judge in them. What a check says names the window that it looked at.
func TestHealthLooksAtItsWindow(t *testing.T) {
	t.Parallel()
	rec := newRecord(t)
	now := time.Now()
	put(rec, rows.NewProgressBuilder(), rows.Progress{Site: "s", Stage: rows.StageDevice, Clock: t0, Watermark: t0, Version: 1})
	for _, stage := range []string{"ingest", "refresh", "compute", "record", "deliver", "whole"} {
		put(rec, rows.NewLatencyBuilder(), rows.Latency{Site: "s", Minute: now.Add(-30 * time.Minute).Truncate(time.Minute).UnixMilli(), Stage: stage,
			Bucket: latency.Bucket(60_000), Count: 100, SumMS: 6_000_000, Version: 1})
	}
	put(rec, rows.NewDeadLetterBuilder(), rows.DeadLetter{Site: "s", Appended: now.Add(-30 * time.Minute).UnixMilli(), Version: 1})
	rec.flush()
	for _, test := range []struct {
		window time.Duration
		failed int
		says   string
	}{{10 * time.Minute, 0, "last 10 minutes"}, {time.Minute, 0, "last minute"}, {time.Hour, 6, "last 60 minutes"}, {3630 * time.Second, 6, "last 1h0m30s"}} {
		th := DefaultThresholds
		th.Window = test.window
		h, err := Health(t.Context(), rec.conn, "s", th)
		if err != nil {
			t.Fatal(err)
		}
		if h.OK != (test.failed == 0) || len(h.Alerts) != test.failed {
			t.Errorf("%v: %+v", test.window, h.Verdict)
		}
		for _, c := range h.Checks {
			switch c.Kind {
			case "dead_letters", "refresh_latency", "sink_lag", "ingest_budget", "compute_budget", "deliver_budget", "whole_budget":
				if !strings.Contains(c.Message, test.says) {
					t.Errorf("%v: %s", test.window, c.Message)
				}
				if (c.Value == nil) != (test.failed == 0) {
					t.Errorf("%v: %s is %v", test.window, c.Kind, c.Value)
				}
			}
		}
	}
}
