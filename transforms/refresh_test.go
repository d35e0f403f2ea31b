package transforms

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

const (
	carts   = 300
	refresh = 2 * time.Minute
)

// idleCarts is a log in which many fill a cart and go, while two in each partition
// walk on, and in the end all come back.
func idleCarts(spec *Spec) *testLog {
	l := &testLog{}
	start := time.Date(2026, 3, 1, 10, 0, 30, 137e6, time.UTC) // nobody acts at the ms of a tick
	home := func(name string) int32 { return event.Home(name, spec.Partitions) }
	walkers, found := map[int32][]string{}, 0
	for i := 0; found < 2*int(spec.Partitions); i++ {
		name := fmt.Sprint("w", i)
		if at := home(name); len(walkers[at]) < 2 {
			walkers[at] = append(walkers[at], name)
			found++
		}
	}
	n := 0
	add := func(name, what string, at time.Time) {
		n++
		l.add(home(name), fmt.Sprintf(`{"anonymousId":%q,"messageId":"%d","timestamp":%q,%s}`, name, n, at.Format("2006-01-02T15:04:05.000Z"), what))
	}
	cart := `"type":"track","event":"Product Added","properties":{"product_id":"1","price":99,"quantity":1}`
	for s := 0; s < 3*60*60; s++ {
		at := start.Add(time.Duration(s) * time.Second)
		if s < carts {
			add(fmt.Sprint("c", s), cart, at)
		}
		if s%90 == 0 { // too slow for high intent
			for p := range spec.Partitions {
				for _, name := range walkers[p] {
					add(name, `"type":"page","properties":{"path":"/"}`, at)
				}
			}
		}
		if back := s - 9000; back >= 0 && back < carts {
			add(fmt.Sprint("c", back), cart, at)
		}
	}
	return l
}

// TestReevaluation: 300 carts went idle, their segment was flagged, and nobody in it
// was looked at again: only those still active were. In a replay at full speed the
// flag came 85 minutes of event time later than live. Now it is raised at the same
// tick however batches are cut, as a naive sum over all events has it; all members
// are evaluated at that tick and the next one, which is recorded although nobody
// moves; and it is cleared when they come back.
func TestReevaluation(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 2} {
		spec := testSpec(t, fmt.Sprint("refresh-", shards), shards, 4)
		b, err := spec.buildOnce()
		check(t, err)
		l := idleCarts(&spec)
		var first tables
		for _, step := range []int{1, 50, len(l.arrival)} { // live, a backlog, all at once
			l.step = step
			got := runPlain(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(1, 1))))
			if step == 1 {
				first = got
				compareFlags(t, b, l, got)
			}
			for _, table := range []string{rows.TableAudience, rows.TableReevaluations, rows.TableAlerts} {
				same(t, uint64(step), table, first.list(table, nil, "version", "stale_share", "signal_weight", "value", "message"), got.list(table, nil, "version", "stale_share", "signal_weight", "value", "message"))
			}
		}
	}
}

// compareFlags holds flags, alerts and re-evaluations against the naive sums.
func compareFlags(t *testing.T, b *Built, l *testLog, got tables) {
	t.Helper()
	path := "everyone/high_intent"
	truth := naiveShares(t, b, l)
	raised, cleared := int64(0), int64(0)
	for at := int64(0); at < 3*60*60*1000; at += refresh.Milliseconds() {
		tick := time.Date(2026, 3, 1, 10, 2, 0, 0, time.UTC).UnixMilli() + at
		row := got[rows.TableAudience][fmt.Sprintf("test|%d|%s", tick, path)]
		if row == nil {
			continue // behind the last event
		}
		share, err := strconv.ParseFloat(row["stale_share"], 64)
		if want := truth(path, tick); err != nil && !math.IsNaN(want) || err == nil && math.Abs(share-want) > 1e-9 {
			t.Errorf("at %v the stale share is %s, want %v", time.UnixMilli(tick).UTC(), row["stale_share"], want)
		}
		switch stale := share > b.Spec.StaleShare; {
		case stale && raised == 0:
			raised = tick
		case !stale && raised > 0 && cleared == 0:
			cleared = tick
		}
	}
	if raised == 0 || cleared == 0 {
		t.Fatalf("flagged at %d, cleared at %d", raised, cleared)
	}
	for state, at := range map[string]int64{rows.Raised: raised, rows.Cleared: cleared} {
		if got[rows.TableAlerts][fmt.Sprintf("test|stale_segment|%s|%d|%s", path, at, state)] == nil {
			t.Errorf("no alert is %s at %v:\n%v", state, time.UnixMilli(at).UTC(), got[rows.TableAlerts])
		}
	}
	members, evaluated := 0, 0
	for at, row := range got[rows.TableReevaluations] {
		if n, err := strconv.Atoi(row["members"]); err == nil && row["path"] == path {
			t.Log(at, row)
			members += n
		}
	}
	for person, row := range got[rows.TableSegmentState] {
		if at, err := strconv.ParseInt(row["evaluated_at"], 10, 64); err != nil || at < raised {
			t.Errorf("%s was evaluated at %s, before the flag", person, row["evaluated_at"])
		} else {
			evaluated++
		}
	}
	if members < 2*carts || evaluated < carts {
		t.Errorf("%d members were evaluated again, want %d twice; %d persons were", members, carts, evaluated)
	}
}

// naiveShares sums over all events, from nothing at each tick.
func naiveShares(t *testing.T, b *Built, l *testLog) func(path string, tick int64) float64 {
	t.Helper()
	d, err := event.NewDecoder(b.Spec.Event)
	check(t, err)
	devices, m := map[string][]event.Event{}, newModel(b)
	for _, rec := range l.arrival {
		var e event.Event
		check(t, d.Decode(rec.Value, event.Unstated, 0, &e))
		devices[e.Device] = append(devices[e.Device], e)
	}
	return func(path string, tick int64) float64 {
		var live, long float64
		for _, all := range devices {
			n := 0
			for n < len(all) && all[n].Time <= tick {
				n++
			}
			if n == 0 {
				continue
			}
			var q *session.Profile = m.fold(&epoch{events: all[:n]})
			v := segment.View{Live: q.Live, Long: q.Long, Last: q.Last, SessionEnd: q.End(b.Spec.GapMS), Devices: 1, Values: m.values(q)}
			node, _ := b.Segment.Tree.Decide(&v, tick)
			for _, a := range b.Segment.Tree.Ancestors(node) {
				if b.Segment.Tree.Path(a) == path {
					live, long = live+q.Live.At(tick, b.Spec.HalfLives.Live), long+q.Long.At(tick, b.Spec.HalfLives.Long)
				}
			}
		}
		w, ok := signal.Weight(signal.Decayed{Sum: live, Ref: tick}, signal.Decayed{Sum: long, Ref: tick}, tick, b.Spec.HalfLives)
		if !ok {
			return math.NaN()
		}
		return 1 - w
	}
}
