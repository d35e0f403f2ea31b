package transforms

import (
	"testing"

	"github.com/microseg/microseg/rows"
)

// TestRebuildsAreNoLatency: a job that read a week of events anew reported a week
// of refresh latency, and health failed until minutes after it had caught up.
// What the log held before the process began has waited for that.
func TestRebuildsAreNoLatency(t *testing.T) {
	t.Parallel()
	const began, decided = 1_700_000_000_000, 1_700_000_100_000 // ms
	spec := Spec{Site: "s", Job: t.Name(), Life: began * 1e6}
	l := newLedger(spec.Life)
	l.add(0, (decided-5)*1000, decided*1000, []stamp{{began - 3_600_000, -1}, {began - 3_600_000, -1}, {decided - 20, 7}})
	b := rows.NewLatencyBuilder()
	l.rows(&spec, 0, 1, true, b)
	if b.Len() == 0 {
		t.Fatal("no rows")
	}
	h := &l.shards[0].minutes[0].h
	for stage, want := range map[int]uint64{stageIngest: 1, stageQueue: 1, stageCompute: 3, stageRefresh: 1} {
		if got := h[stage].Count(); got != want {
			t.Errorf("%s: %d events, want %d", stageNames[stage], got, want)
		}
	}
	if got := h[stageRefresh].Quantile(1); got > 30 {
		t.Errorf("a refresh took %v ms", got)
	}
}
