package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/rows"
)

// filled is a record of site s whose figures the tests know.
func filled(t *testing.T) *record {
	rec := newRecord(t)
	put(rec, rows.NewSessionBuilder(),
		rows.Session{Site: "s", Device: "a", Start: t0, End: t0 + 9000, Events: 3, Version: 2},
		rows.Session{Site: "s", Device: "a", Start: t0 + 5, Deleted: true, Version: 2},
		rows.Session{Site: "s", Device: "b", Start: t0, Open: true, Version: 1},
		rows.Session{Site: "other", Device: "b", Start: t0, Version: 1})
	rec.flush()
	put(rec, rows.NewSessionBuilder(), rows.Session{Site: "s", Device: "a", Start: t0 + 5, Version: 1})
	put(rec, rows.NewProgressBuilder(),
		rows.Progress{Site: "s", Stage: rows.StageDevice, Partition: 0, Clock: t0 + 60_000, Watermark: t0 + 50_000, Read: 100, Good: 90, Duplicate: 7, Dead: 3, Version: 2},
		rows.Progress{Site: "s", Stage: rows.StageDevice, Partition: 1, Clock: t0 + 50_000, Watermark: t0 + 30_000, Read: 10, Good: 10, Version: 1},
		rows.Progress{Site: "s", Stage: rows.StageDevice, Partition: 2, Version: 1},
		rows.Progress{Site: "s", Stage: rows.StagePerson, Partition: 0, Clock: t0 + 60_000, Watermark: t0 + 50_000, Read: 77, Version: 1})
	put(rec, rows.NewAudienceBuilder(),
		rows.Audience{Site: "s", Minute: t0, Path: "everyone", Members: 10, Total: 10, Share: 1, Active: true, StaleShare: 0.2, SignalWeight: 0.8},
		rows.Audience{Site: "s", Minute: t0, Path: "everyone/high", Members: 9, Total: 10, Share: 0.9, Active: true, StaleShare: 0, SignalWeight: 1},
		rows.Audience{Site: "s", Minute: t0 + 60_000, Path: "everyone/high", Members: 1, Total: 20, Share: 0.05, Why: "5.0 % of 20", Flipped: -1, Stale: true, StaleShare: 0.75, SignalWeight: 0.25},
		rows.Audience{Site: "s", Minute: t0 + 60_000, Path: "everyone/high/cart", Total: 20, StaleShare: math.NaN(), SignalWeight: math.NaN()},
		rows.Audience{Site: "s", Minute: t0 + 60_000, Path: "everyone", Members: 20, Total: 20, Share: 1, Active: true, Exempt: true, Why: "exempt: everyone is always served", StaleShare: 0.1, SignalWeight: 0.9})
	put(rec, rows.NewSegmentStateBuilder(),
		rows.SegmentState{Site: "s", Person: "a", Path: "everyone/high"}, rows.SegmentState{Site: "s", Person: "b", Path: "everyone"})
	put(rec, rows.NewSegmentEventBuilder(),
		rows.SegmentEvent{Site: "s", Person: "a", Transition: 1, Node: "everyone", Action: rows.Entered, At: t0},
		rows.SegmentEvent{Site: "s", Person: "a", Transition: 2, Node: "everyone/high", Action: rows.Entered, At: t0},
		rows.SegmentEvent{Site: "s", Person: "a", Transition: 3, Node: "everyone/high", Action: rows.Left, At: t0})
	put(rec, rows.NewDeadLetterBuilder(), rows.DeadLetter{Site: "s", Offset: 1, Reason: "late"}, rows.DeadLetter{Site: "s", Offset: 2, Reason: "late"}, rows.DeadLetter{Site: "s", Offset: 3, Reason: "malformed"})
	put(rec, rows.NewEventWarningBuilder(),
		rows.EventWarning{Site: "s", Offset: 1, Property: "price", Reason: "unreadable", Example: "N/A", Appended: t0},
		rows.EventWarning{Site: "s", Offset: 1, Property: "price", Reason: "unreadable", Example: "N/A", Appended: t0, Version: 1}, // written again
		rows.EventWarning{Site: "s", Offset: 2, Property: "price", Reason: "unreadable", Example: "free", Appended: t0 + 1},
		rows.EventWarning{Site: "s", Offset: 2, Property: "total", Reason: "empty", Appended: t0 + 1})
	put(rec, rows.NewAlertBuilder(),
		rows.Alert{Site: "s", Kind: rows.AlertStaleSegment, Subject: "everyone/high", At: t0, State: rows.Raised, Value: 0.75, Threshold: 0.7, Message: "75 % of the weight is stale"},
		rows.Alert{Site: "s", Kind: rows.AlertSinkLag, At: t0, State: rows.Raised}, rows.Alert{Site: "s", Kind: rows.AlertSinkLag, At: t0 + 1, State: rows.Cleared})
	rec.flush()
	return rec
}

func TestReport(t *testing.T) {
	rec := filled(t)
	r, err := Report(t.Context(), rec.conn, "s", DefaultThresholds)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"events":{"read":110,"good":100,"duplicate":7,"dead":3}`, `"dead_letters":{"late":2,"malformed":1}`,
		`"event_warnings":[{"property":"price","reason":"unreadable","records":2,"example":"free"},{"property":"total","reason":"empty","records":1,"example":""}]`,
		`"sessions":2,"sessions_open":1,"persons":2`, `"memberships":{"entered":2,"left":1}`,
		`{"path":"everyone","members":20,"share":1,"active":true,"exempt":true,"why":"exempt: everyone is always served","stale":false,"stale_share":0.1,"signal_weight":0.9,"persons":2}`,
		`{"path":"everyone/high","members":1,"share":0.05,"active":false,"exempt":false,"why":"5.0 % of 20","stale":true,"stale_share":0.75,"signal_weight":0.25,"persons":1}`,
		`{"path":"everyone/high/cart","members":0,"share":0,"active":false,"exempt":false,"why":"","stale":false,"stale_share":null,"signal_weight":null,"persons":0}`,
		`"health":{"ok":true,"alerts":[{"kind":"stale_segment","subject":"everyone/high","value":0.75,"threshold":0.7,`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report lacks %s:\n%s", want, text)
		}
	}
	if !r.Events.Balanced() || len(r.Segments) != 3 || len(r.Health.Alerts) != 1 {
		t.Errorf("report %s", text)
	}
	var b bytes.Buffer
	if err := WriteText(&b, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`price unreadable in 2 records, e.g. "free"; total empty in 1 records`, "110 read = 100 good + 7 duplicate + 3 dead (late 2, malformed 1)", "└─ high", "   └─ cart", "75.0 % !", "pruned", "health       ok", "! stale_segment everyone/high"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
}

func TestAReportOfNothing(t *testing.T) {
	rec := newRecord(t)
	r, err := Report(t.Context(), rec.conn, "nobody", DefaultThresholds)
	if err != nil || !r.Health.OK || r.Events.Read != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := WriteText(new(bytes.Buffer), r); err != nil {
		t.Fatal(err)
	}
	if _, err := Health(t.Context(), rec.conn, "nobody", DefaultThresholds); !errors.Is(err, ErrNoData) {
		t.Fatalf("health of nobody: %v", err)
	}
}

// TestAReplayOfLessThanAMinute has no audience yet: shares are of all persons.
func TestAReplayOfLessThanAMinute(t *testing.T) {
	rec := newRecord(t)
	put(rec, rows.NewSegmentStateBuilder(), rows.SegmentState{Site: "s", Person: "a", Path: "everyone/high"}, rows.SegmentState{Site: "s", Person: "b", Path: "everyone"})
	rec.flush()
	r, err := Report(t.Context(), rec.conn, "s", DefaultThresholds)
	if err != nil || len(r.Segments) != 2 || r.Segments[1].Share != 0.5 || r.Segments[1].Active || !r.Segments[0].Active {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestHealth(t *testing.T) {
	rec := filled(t)
	// Six minutes of refresh latency: the oldest, a catastrophe of 20 minutes ago, is
	// out of sight, although it is among the last that have any.
	this := time.Now().Truncate(time.Minute)
	for ago, ms := range map[time.Duration]float64{20: 90_000, 4: 100, 3: 100, 2: 100, 1: 100, 0: 2_500} {
		put(rec, rows.NewLatencyBuilder(), rows.Latency{Site: "s", Job: 1, Minute: this.Add(-ago * time.Minute).UnixMilli(), Stage: "refresh", Bucket: latency.Bucket(ms), Count: 10, SumMS: 10 * ms, Version: 3})
	}
	put(rec, rows.NewLatencyBuilder(), rows.Latency{Site: "s", Minute: this.UnixMilli(), Stage: "record", Bucket: latency.Bucket(2000), Count: 1, SumMS: 2000, Version: 1})
	// The other dead letters are of long ago: one of 40 records of the last minutes is dead.
	put(rec, rows.NewDeadLetterBuilder(), rows.DeadLetter{Site: "s", Offset: 9, Reason: "late", Appended: time.Now().UnixMilli()})
	put(rec, rows.NewLatencyBuilder(), rows.Latency{Site: "s", Job: 1, Minute: this.UnixMilli(), Stage: "compute", Bucket: 1, Count: 39, Version: 1})
	rec.flush()
	th := DefaultThresholds
	th.Budgets = Budgets{time.Hour, time.Hour, time.Hour, time.Hour} // TestBudgets has them
	h, err := Health(t.Context(), rec.conn, "s", th)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"refresh_latency": 580, "signal_weight": 0.9, "watermark_lag": 30, "sink_lag": 2, "dead_letters": 1.0 / 40, "job_silent": 0}
	for _, c := range h.Checks {
		if c.Kind == "job_silent" && c.OK && *c.Value < 60 || strings.HasSuffix(c.Kind, "_budget") && c.OK || c.Kind == "audience_jump" && c.OK {
			continue
		}
		if c.Value == nil || math.Abs(*c.Value-want[c.Kind]) > 0.04*want[c.Kind] || c.OK != (c.Kind != "refresh_latency") {
			t.Errorf("%+v (%v), want %v", c, c.Value, want[c.Kind])
		}
	}
	if h.OK || len(h.Alerts) != 2 || h.Alerts[0].Kind != "refresh_latency" {
		t.Errorf("%+v", h.Verdict)
	}
	strict := Thresholds{Refresh: time.Hour, SignalWeight: 0.95, WatermarkLag: time.Second, SinkLag: time.Second, DeadShare: 0.01, Silence: time.Hour, Window: time.Hour, Budgets: th.Budgets}
	if h, err = Health(t.Context(), rec.conn, "s", strict); err != nil || len(h.Alerts) != 5 {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestJumpIsUnhealthy: the audience stage raises that alert and clears it.
func TestJumpIsUnhealthy(t *testing.T) {
	rec := filled(t)
	for version, state := range []string{rows.Cleared, rows.Raised, rows.Cleared} {
		if version > 0 {
			put(rec, rows.NewAlertBuilder(), rows.Alert{Site: "s", Kind: rows.AlertAudienceJump, At: t0 + int64(version), State: state, Value: 2700, Threshold: 800, Message: "held", Version: uint64(version)})
		}
		rec.flush()
		h, err := Health(t.Context(), rec.conn, "s", DefaultThresholds)
		if err != nil {
			t.Fatal(err)
		}
		of := func(kind string) int {
			return slices.IndexFunc(h.Checks, func(c Check) bool { return c.Kind == kind })
		}
		c := h.Checks[of("audience_jump")]
		listed := slices.ContainsFunc(h.Alerts, func(a Alert) bool { return a.Kind == c.Kind })
		if raised := state == rows.Raised; c.OK == raised || listed != raised || raised && (h.OK || *c.Value != 2700 || c.Message != "held") {
			t.Errorf("%s: %+v, %+v", state, c, h.Verdict)
		}
	}
}

// TestUnknownWatermark: before the first event there is no watermark and no lag; a
// shard with events and without a watermark stands still. Both were a lag of 0
// once, and before that of all the time since 1970.
func TestUnknownWatermark(t *testing.T) {
	rec := newRecord(t)
	check := func() Check {
		rec.flush()
		h, err := Health(t.Context(), rec.conn, "s", DefaultThresholds)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range h.Checks {
			if c.Kind == "watermark_lag" {
				return c
			}
		}
		t.Fatal("the watermark was not checked")
		return Check{}
	}
	progress := func(partition int32, clock, watermark int64, version uint64) {
		put(rec, rows.NewProgressBuilder(), rows.Progress{Site: "s", Stage: rows.StageDevice, Partition: partition, Clock: clock, Watermark: watermark, Version: version})
	}
	progress(1, 0, 0, 1)
	if c := check(); !c.OK || c.Value != nil || !strings.Contains(c.Message, "no event yet") {
		t.Errorf("without an event: %+v", c)
	}
	progress(2, t0, 0, 1)
	if c := check(); c.OK || !strings.Contains(c.Message, "time stands still in 1 partitions") {
		t.Errorf("with an event and without a watermark: %+v", c)
	}
	progress(2, t0, t0, 2)
	progress(3, t0, t0-7000, 1)
	if c := check(); !c.OK || *c.Value != 7 {
		t.Errorf("the lag is %+v, want 7 s", c)
	}
}

func TestLatencyQuantilesAreTheHistograms(t *testing.T) {
	rec := newRecord(t)
	r := rand.New(rand.NewPCG(9, 9))
	var all latency.Histogram
	for shard := range uint16(4) {
		var h latency.Histogram
		for range 500 {
			h.Add(math.Exp(r.NormFloat64()*1.5+3), 1+r.Uint64N(3))
		}
		all.Merge(&h)
		for version := range uint64(2) { // the first version is half of it
			h.Each(func(b uint16, n uint64, sum float64) {
				put(rec, rows.NewLatencyBuilder(), rows.Latency{Site: "s", Shard: shard, Stage: "compute", Bucket: b, Count: n * (1 + version) / 2, SumMS: sum * float64(1+version) / 2, Version: version})
			})
			rec.flush()
		}
	}
	rep, err := Report(t.Context(), rec.conn, "s", DefaultThresholds)
	if err != nil {
		t.Fatal(err)
	}
	q := rep.LatencyMS["compute"]
	if q.Events != all.Count() || math.Abs(q.Mean-all.Mean()) > 1e-9*q.Mean || math.Abs(q.P50-all.Quantile(0.5)) > 1e-9 ||
		math.Abs(q.P95-all.Quantile(0.95)) > 1e-9 || math.Abs(q.P99-all.Quantile(0.99)) > 1e-9 {
		t.Fatalf("%+v, want %d %v %v %v", q, all.Count(), all.Quantile(0.5), all.Quantile(0.95), all.Quantile(0.99))
	}
}

func TestTheTreeIsDrawn(t *testing.T) {
	var ss []Segment
	for _, p := range []string{"e", "e/a", "e/a/x", "e/a/y", "e/b", "e/b/z"} {
		ss = append(ss, Segment{Path: p})
	}
	want := []string{"", "├─ ", "│  ├─ ", "│  └─ ", "└─ ", "   └─ "}
	for i := range ss {
		if got := branch(ss, i); got != want[i] {
			t.Errorf("%s: %q, want %q", ss[i].Path, got, want[i])
		}
	}
}
