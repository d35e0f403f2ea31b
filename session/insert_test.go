package session

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
)

// TestLateEventsCostLittle: twenty requests of events in reverse order took a hundred
// seconds, since each folded all that were behind it once more. What is counted is how
// many events are folded once more for one that is late: it must not grow with how many
// there are.
func TestLateEventsCostLittle(t *testing.T) {
	streams := map[string]func(i int) event.Event{
		"one page": func(int) event.Event { return event.Event{Kind: event.KindPage, Page: 7, PageType: event.PageProduct} },
		"many pages": func(i int) event.Event {
			return event.Event{Kind: event.KindPage, Page: uint64(i), PageType: event.PageProduct}
		},
		"clicks": func(int) event.Event { return event.Event{Kind: event.KindClick} },
		"a visit": func(i int) event.Event {
			e := randomEvent(rand.New(rand.NewPCG(uint64(i), 5)), 0, 0)
			e.Page = 1 + e.Page%8
			e.PageType = event.PageHome + event.PageType(e.Page-1) // none is taken for another one
			if it := newItem(&e); it.isSale() {
				e.Kind = event.KindScroll // what adds up in floats is added up again, in order
			}
			return e
		},
	}
	for name, make := range streams {
		cost := func(n int) float64 {
			var folded uint64
			p := params()
			p.Refolded = &folded
			q := &Profile{}
			for i := range n {
				e := make(i)
				e.Time, e.Offset, e.ID = 1_000_000_000_000-int64(i)*20, int64(i), uint64(i)+1
				q.Add(&e, p)
			}
			return float64(folded) / float64(n)
		}
		few, many := cost(2000), cost(16_000)
		if many > 3*float64(pieceLen) || many > 1.5*few+8 {
			t.Errorf("%s: each of 2,000 events in reverse order folds %.0f others once more, each of 16,000 %.0f", name, few, many)
		}
	}
}

// TestManyEqualModel is TestProfileEqualsModel with as many events as pieces are made for.
func TestManyEqualModel(t *testing.T) {
	p := params()
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 6))
		var events []event.Event
		for i := range 3000 {
			e := randomEvent(r, 1_000_000_000_000+r.Int64N(p.Lateness), int64(i))
			if seed%2 == 0 { // in reverse order
				e.Time = 1_000_000_000_000 - int64(i)*100 - r.Int64N(100)
			}
			events = append(events, e)
		}
		q := &Profile{}
		for i := range events {
			q.Add(&events[i], p)
		}
		_, head := model(events, p)
		if got, want := show(q.head.Fold), show(head.Fold); got != want || !q.Carts().equal(head.carts) {
			t.Fatalf("seed %d: session\n%s\nthe model has\n%s", seed, got, want)
		}
	}
}

// TestLateAmongLateSales: what came too late for a session waits until one opens. One
// such order made each late change of the cart fold all events behind it once more.
func TestLateAmongLateSales(t *testing.T) {
	short := shortPieces(t)
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 7))
		short(r)
		var folded uint64
		p := params()
		if p.Refolded = &folded; seed%2 == 0 {
			p.Gap = 20_000
		}
		q := &Profile{}
		var events []event.Event
		for i := range int64(120) {
			e := randomEvent(r, 1_000_000_000_000+r.Int64N(p.Lateness), i)
			if r.IntN(2) == 0 {
				e.Kind = event.KindCartAdd
			}
			if i > 0 && r.IntN(30) == 0 {
				e.Kind, e.Time = event.KindOrder, e.Time-20*minute
				q.AddLate(&e, p)
			} else {
				events = append(events, e)
				q.Add(&e, p)
			}
			var head State
			sorted := slices.Clone(events)
			slices.SortFunc(sorted, func(a, b event.Event) int {
				return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
			})
			for k := range sorted {
				it := newItem(&sorted[k])
				head.step(&it, q.facts, p)
			}
			if !q.head.carts.equal(head.carts) || show(q.head.Fold) != show(head.Fold) {
				t.Fatalf("seed %d, event %d: %v, %s\nthe model has %v, %s", seed, i, q.head.carts, show(q.head.Fold), head.carts, show(head.Fold))
			}
		}
	}
}
