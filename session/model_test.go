package session

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/signal"
)

const minute = 60_000

func params() *Params {
	return &Params{Gap: 30 * minute, DwellCap: 30_000, Lateness: 10 * minute, Elements: 2,
		HalfLives: signal.HalfLives{Live: 10 * minute, Long: 120 * minute},
		Weigher:   signal.NewWeigher([]signal.Rule{{Kind: event.KindPage, Weight: 1}, {Kind: event.KindClick, Weight: 2}, {Kind: event.KindCartAdd, Weight: 5}})}
}

// model is the obviously right version: it keeps all events, sorts them and folds from nothing.
func model(events []event.Event, p *Params) (sessions []*Fold, head State) {
	es := slices.Clone(events)
	slices.SortFunc(es, func(a, b event.Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
	})
	for i := range es {
		it := newItem(&es[i])
		old := head.Fold
		if head.step(&it, nil, p) && old != nil {
			sessions = append(sessions, old)
		}
	}
	if head.Fold != nil {
		sessions = append(sessions, head.Fold)
	}
	return sessions, head
}

func randomEvent(r *rand.Rand, t, offset int64) event.Event {
	kinds := []event.Kind{event.KindPage, event.KindPage, event.KindPing, event.KindClick, event.KindScroll, event.KindHover, event.KindFocus, event.KindVideoStart,
		event.KindVideoComplete, event.KindFormStart, event.KindFormSubmit, event.KindProductView, event.KindCartAdd, event.KindCartRemove, event.KindCartView, event.KindOrder}
	return event.Event{Device: "d", Time: t, Offset: offset, ID: uint64(offset) + 1, Kind: kinds[r.IntN(len(kinds))], Page: uint64(r.IntN(20)),
		PageType: event.PageType(r.IntN(int(event.NumPageTypes))), Item: uint64(r.IntN(2)), X: float64(r.IntN(3)), Y: float64(r.IntN(3)), Z: float64(r.IntN(2)), Element: uint8(r.IntN(4)),
		DeviceType: event.DeviceType(r.IntN(3)), Flags: event.Flags(r.IntN(8))}
}

// schedule makes events whose arrival is out of order, but never by more than the lateness.
func schedule(r *rand.Rand, p *Params, n int) []event.Event {
	var t, clock int64 = 1_000_000_000_000, 0
	var out []event.Event
	for i := range n {
		t += r.Int64N([]int64{5_000, minute, 12 * minute, 45 * minute}[r.IntN(4)] + 1)
		at := max(t-r.Int64N(p.Lateness+1), clock-p.Lateness)
		if r.IntN(3) > 0 {
			at = max(t, clock)
		}
		out = append(out, randomEvent(r, at, int64(i)))
		clock = max(clock, at)
	}
	return out
}

func fold(events []event.Event, p *Params, r *rand.Rand) (*Profile, map[int64]*Fold) {
	q := &Profile{}
	rows := map[int64]*Fold{} // what a table of sessions would hold
	var clock int64
	for i := range events {
		c := q.Add(&events[i], p)
		for _, f := range c.Closed {
			rows[f.Start] = f
		}
		for _, start := range c.Absorbed {
			delete(rows, start)
		}
		rows[q.State().Fold.Start] = q.State().Fold.clone()
		clock = max(clock, events[i].Time)
		if r.IntN(4) == 0 {
			q.FoldAway(clock-p.Lateness, clock, p)
		}
		if r.IntN(8) == 0 { // a worker that lost its memory goes on from a snapshot
			var w codec.Writer
			q.AppendTo(&w)
			q = &Profile{}
			q.Read(&codec.Reader{B: w.B}, NewestFormat, p)
		}
	}
	return q, rows
}

// show is all of a fold as text, the cart by its value.
func show(f *Fold) string {
	c := *f
	c.carts, c.evicted, c.twins = nil, 0, 0
	return fmt.Sprintf("%+v %+v", c, f.Cart())
}

// crowd makes many events within the lateness, of few kinds and few pages or of many,
// in order, in reverse order or in none: what a late event changes in them ends sooner
// or later, or never.
func crowd(r *rand.Rand, p *Params) []event.Event {
	const start = 1_000_000_000_000
	n, pages, kinds, gap := 2+r.IntN(150), 1+r.IntN(24), 1+r.IntN(16), r.Int64N(p.Lateness)
	p.Gap = []int64{30 * minute, minute, 5_000}[r.IntN(3)]
	var out []event.Event
	for i := range n {
		e := randomEvent(r, start+r.Int64N(p.Lateness), int64(i))
		for k := 0; int(e.Kind) > kinds && k < 20; k++ {
			e.Kind = randomEvent(r, 0, 0).Kind
		}
		if e.Page %= uint64(pages); r.IntN(8) == 0 {
			e.Page = 0
		}
		switch r.IntN(4) {
		case 0:
			e.DeviceType, e.Flags = 0, 0
		case 1:
			e.X *= 0.1
		}
		out = append(out, e)
	}
	order := func(a, b event.Event) int { return cmp.Compare(a.Time, b.Time) }
	switch r.IntN(4) {
	case 0:
		slices.SortFunc(out, order)
	case 1:
		slices.SortFunc(out, func(a, b event.Event) int { return order(b, a) })
	case 2: // two tabs, one behind the other
		slices.SortFunc(out, func(a, b event.Event) int {
			return cmp.Compare(a.Time+gap*int64(a.ID%2), b.Time+gap*int64(b.ID%2))
		})
	}
	for i := range out {
		out[i].Offset, out[i].ID = int64(i), uint64(i)+1
	}
	return out
}

// shortPieces lets lists be cut after few events while a test runs.
func shortPieces(t *testing.T) func(r *rand.Rand) {
	was := pieceLen
	t.Cleanup(func() { pieceLen = was })
	return func(r *rand.Rand) { pieceLen = 1 + r.IntN(10) }
}

// TestProfileEqualsModel folds random arrivals with folding away and snapshots
// in between, and compares every session with the fold of the sorted events.
func TestProfileEqualsModel(t *testing.T) {
	p, short := params(), shortPieces(t)
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		p.Gap = 30 * minute
		short(r)
		events := schedule(r, p, 1+r.IntN(40))
		if seed >= 1500 {
			events = crowd(r, p)
		}
		want, head := model(events, p)
		q, rows := fold(events, p, r)
		if len(rows) != len(want) {
			t.Fatalf("seed %d: %d sessions, the model has %d", seed, len(rows), len(want))
		}
		for _, f := range want {
			if got, w := show(rows[f.Start]), show(f); got != w {
				t.Fatalf("seed %d: session\n%s\nthe model has\n%s", seed, got, w)
			}
		}
		if q.Cart() != head.carts.Cart() || q.State().Context != head.Context {
			t.Fatalf("seed %d: %+v %+v, the model has %+v %+v", seed, q.Cart(), q.State().Context, head.carts.Cart(), head.Context)
		}
	}
}

// TestEachEventEqualsModel compares what a profile says after each event, and not
// only at the end, with the fold of all events so far: each makes a vector.
func TestEachEventEqualsModel(t *testing.T) {
	p, short := params(), shortPieces(t)
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 4))
		p.Gap = 30 * minute
		short(r)
		events := crowd(r, p)
		q := &Profile{}
		for i := range events {
			c := q.Add(&events[i], p)
			sessions, head := model(events[:i+1], p)
			all := append(slices.Clone(q.tail.closed), q.head.Fold)
			if len(all) != len(sessions) {
				t.Fatalf("seed %d, event %d: %d sessions, the model has %d", seed, i, len(all), len(sessions))
			}
			for k := range all {
				if got, want := show(all[k]), show(sessions[k]); got != want || !all[k].carts.equal(sessions[k].carts) {
					t.Fatalf("seed %d, event %d: session\n%s\nthe model has\n%s", seed, i, got, want)
				}
			}
			if !q.Carts().equal(head.carts) || q.State().Context != head.Context {
				t.Fatalf("seed %d, event %d: %v %+v, the model has %v %+v", seed, i, q.Carts(), q.State().Context, head.carts, head.Context)
			}
			for _, n := range q.tail.trees() {
				if n.sum != nil && n.sum.torn {
					t.Fatalf("seed %d, event %d: a part of the forest does not fit to what is before it", seed, i)
				}
			}
			for _, f := range c.Closed {
				if k := slices.IndexFunc(sessions, func(g *Fold) bool { return g.Start == f.Start }); k < 0 || !f.Same(sessions[k]) {
					t.Fatalf("seed %d, event %d: the row of session %d is not the model's", seed, i, f.Start)
				}
			}
		}
	}
}

// TestOrderDoesNotMatter: late insertion equals in-order insertion, also for the sums.
func TestOrderDoesNotMatter(t *testing.T) {
	p := params()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		events := schedule(r, p, 30)
		sorted := slices.Clone(events)
		slices.SortStableFunc(sorted, func(a, b event.Event) int { return cmp.Compare(a.Time, b.Time) })
		a, _ := fold(events, p, r)
		b, _ := fold(sorted, p, r)
		for _, x := range [][2]signal.Decayed{{a.Live, b.Live}, {a.Long, b.Long}} {
			if u, v := x[0].At(a.Last, 1e6), x[1].At(a.Last, 1e6); math.Abs(u-v) > 1e-9*v {
				t.Fatalf("seed %d: sums %v and %v", seed, u, v)
			}
		}
	}
}

// TestBridge: two sessions that a late event bridges become one, and the second is absorbed.
func TestBridge(t *testing.T) {
	p := params()
	q := &Profile{}
	at := func(m, offset int64) Change {
		return q.Add(&event.Event{Time: m * minute, Offset: offset, ID: uint64(offset), Kind: event.KindPage, Page: 1}, p)
	}
	at(0, 1)
	if c := at(31, 2); len(c.Closed) != 1 {
		t.Fatalf("a gap of 31 minutes must close the session: %+v", c)
	}
	c := at(25, 3)
	if len(c.Absorbed) != 1 || c.Absorbed[0] != 31*minute || q.State().Fold.Start != 0 || q.State().Fold.Events != 3 {
		t.Fatalf("the late event must bridge both sessions: %+v, head %+v", c, q.State().Fold)
	}
}

// TestGapIsHalfOpen: a gap of exactly the session gap starts a new session, as Beam's windows do.
func TestGapIsHalfOpen(t *testing.T) {
	p := params()
	q := &Profile{}
	q.Add(&event.Event{Time: 0, ID: 1, Kind: event.KindPage}, p)
	if c := q.Add(&event.Event{Time: p.Gap - 1, Offset: 1, ID: 2, Kind: event.KindPage}, p); len(c.Closed) != 0 {
		t.Fatal("a gap just below the limit belongs to the session")
	}
	if c := q.Add(&event.Event{Time: 2*p.Gap - 1, Offset: 2, ID: 3, Kind: event.KindPage}, p); len(c.Closed) != 1 {
		t.Fatal("a gap of the limit starts a new session")
	}
}

// TestOnePlayStartsOnce: Segment's video spec sends two starts for one play,
// which once counted as a start that was dropped and another.
func TestOnePlayStartsOnce(t *testing.T) {
	p := params()
	q := &Profile{}
	for i, k := range []event.Kind{event.KindVideoStart, event.KindVideoStart, event.KindVideoComplete} {
		q.Add(&event.Event{Time: int64(i), Offset: int64(i), ID: uint64(i), Kind: k, Item: 7}, p)
	}
	q.Add(&event.Event{Time: 3, Offset: 3, ID: 3, Kind: event.KindVideoStart, Item: 7}, p) // watched again
	q.Add(&event.Event{Time: 4, Offset: 4, ID: 4, Kind: event.KindVideoStart, Item: 8}, p) // another one
	if f := q.State().Fold; f.VideoStarts != 3 || f.VideoDone != 1 || f.VideoDrops != 1 {
		t.Errorf("%d starts, %d completed, %d dropped; want 3, 1, 1", f.VideoStarts, f.VideoDone, f.VideoDrops)
	}
}

// TestListEqualsSlice compares the compact list with a slice of items.
func TestListEqualsSlice(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		var l list
		var want []item
		for at, n := int64(0), int64(0); n < 60; n++ {
			if len(want) > 1 && r.IntN(5) == 0 {
				k := r.IntN(len(want))
				l.drop(k)
				want = want[k:]
			}
			at += r.Int64N(3) * r.Int64N(100_000)
			e := randomEvent(r, at, n)
			e.X, e.Width, e.Network = r.NormFloat64(), uint16(r.IntN(2)), event.Network(r.IntN(2))
			it := newItem(&e)
			if !l.follows(&it) {
				t.Fatalf("seed %d: item %d does not follow", seed, n)
			}
			l.append(&it)
			want = append(want, it)
			if got := l.items(); !slices.Equal(got, want) || l.oldest != want[0].Time {
				t.Fatalf("seed %d: %+v\nwant %+v", seed, got, want)
			}
		}
	}
}

// TestSame: folded away and read from snapshots at other moments, a profile says the
// same, and without one of its events it does not. Slices that were empty in one
// and missing in the other made two sessions differ (found by TestDeadLetters).
func TestSame(t *testing.T) {
	p := params()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 3))
		events := schedule(r, p, 1+r.IntN(40))
		a, _ := fold(events, p, r)
		b, _ := fold(events, p, r)
		now := a.Last + p.Gap
		if !a.Same(b, now, p) || !b.Same(a, now, p) {
			t.Fatalf("seed %d: the same events are not the same", seed)
		}
		newest := 0
		for i := range events {
			if events[i].Time > events[newest].Time {
				newest = i
			}
		}
		events[newest].Time++
		if c, _ := fold(events, p, r); c.Same(b, now, p) {
			t.Fatalf("seed %d: other events are the same", seed)
		}
	}
}

// trees are the tail's, none while its events are few.
func (t *tail) trees() []*tree {
	if t == nil || t.forest == nil {
		return nil
	}
	return t.forest.trees
}
