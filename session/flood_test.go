package session

import (
	"math/rand/v2"
	"testing"

	"github.com/microseg/microseg/event"
)

// floods are the i-th of n events of what one device may send without end.
var floods = map[string]func(i, n int) event.Event{
	"one page": func(int, int) event.Event { return viewed(event.KindPage, 7, 1) },
	"pages":    func(i, _ int) event.Event { return viewed(event.KindPage, i%10, i%5) },
	"many":     func(i, _ int) event.Event { return viewed(event.KindPage, i%40, i%5) },
	"new":      func(i, _ int) event.Event { return viewed(event.KindPage, i, i%5) },
	"products": func(i, _ int) event.Event { return viewed(event.KindProductView, i%10, 2) },
	"clicks":   func(int, int) event.Event { return event.Event{Kind: event.KindClick} },
	"pings":    func(int, int) event.Event { return event.Event{Kind: event.KindPing, X: 5} },
	"hovers":   func(i, _ int) event.Event { return event.Event{Kind: event.KindHover, Element: uint8(i % 4), X: 30} },
	"networks": func(i, _ int) event.Event { return event.Event{Kind: event.KindClick, Network: event.Network(1 + i%3)} },
	"log-ins":  func(int, int) event.Event { return event.Event{Kind: event.KindIdentify} },
	"scrolls": func(i, _ int) event.Event {
		return event.Event{Kind: event.KindScroll, X: float64(i%10) / 10, Y: float64(i % 7), Z: float64(i % 3)}
	},
	"visits": func(i, _ int) event.Event {
		if i%50 == 0 {
			return viewed(event.KindPage, i, i%5)
		}
		return event.Event{Kind: event.KindPing, X: 5}
	},
	"pings, then pages": then(event.Event{Kind: event.KindPing, X: 5}, func(i int) event.Event { return viewed(event.KindPage, i%10, i%5) }),
	"pings, then networks": then(event.Event{Kind: event.KindPing, X: 5}, func(i int) event.Event {
		return event.Event{Kind: event.KindClick, DeviceType: event.DeviceType(i % 3), Network: event.Network(i % 4), Width: uint16(i % 5), Flags: event.Flags(i%2) * event.FlagBot}
	}),
	"clicks, then scrolls": then(event.Event{Kind: event.KindClick}, func(i int) event.Event {
		return event.Event{Kind: event.KindScroll, X: float64(i) / 1e6, Y: float64(i), Z: float64(i)}
	}),
	"pings, then videos": then(event.Event{Kind: event.KindPing, X: 5}, videoed),
	"videos of one":      func(i, _ int) event.Event { e := videoed(i); e.Item = 0; return e },
	"adds":               func(i, _ int) event.Event { return added(i) },
	"takes": func(i, _ int) event.Event {
		return event.Event{Kind: event.KindCartRemove, Y: 1, X: float64(i % 2), Flags: event.FlagPriced}
	},
	"carts": func(i, _ int) event.Event {
		return event.Event{Kind: event.KindCartView, X: 0.1 * float64(i%7), Y: float64(i % 5), Flags: event.FlagCart | event.FlagPriced}
	},
	"one cart": func(i, _ int) event.Event {
		return event.Event{Kind: event.KindCartView, X: 7, Y: 2, Flags: event.FlagCart | event.FlagPriced}
	},
	"unpriced carts": func(i, _ int) event.Event {
		return event.Event{Kind: event.KindCartView, Y: float64(1 + i%5), Flags: event.FlagCart}
	},
	"values": func(i, _ int) event.Event { return event.Event{Kind: event.KindCartView, X: 0.1 * float64(i%7)} },
	"orders": func(i, _ int) event.Event { return event.Event{Kind: event.KindOrder, X: 0.1 * float64(i%9+1)} },
	"shopping": func(i, _ int) event.Event {
		switch {
		case i%500 == 0:
			return event.Event{Kind: event.KindOrder, X: 0.1 * float64(i%9+1)}
		case i%7 == 0:
			return event.Event{Kind: event.KindCartView, X: 0.1 * float64(i%7), Y: float64(i % 5), Flags: event.FlagCart | event.FlagPriced}
		}
		return added(i)
	},
	"clicks, then adds": then(event.Event{Kind: event.KindClick}, added),
}

// then is the same event half of the time, and then others.
func then(first event.Event, other func(i int) event.Event) func(i, n int) event.Event {
	return func(i, n int) event.Event {
		if i < n/2 {
			return first
		}
		return other(i - n/2)
	}
}

func viewed(k event.Kind, page, kind int) event.Event {
	return event.Event{Kind: k, Page: uint64(page + 1), PageType: event.PageType(1 + kind)}
}

func videoed(i int) event.Event {
	return event.Event{Kind: []event.Kind{event.KindVideoStart, event.KindVideoComplete}[i*i/3%2], Item: uint64(i % 5), Flags: event.Flags(i/5%2) * event.FlagContent}
}

func added(i int) event.Event {
	return event.Event{Kind: event.KindCartAdd, X: 0.1 * float64(i%9+1), Y: 1, Flags: event.FlagPriced}
}

// floodOrders are the places in time of n events, in the order in which they are sent.
var floodOrders = map[string]func(r *rand.Rand, i, n int) int{
	"in order":        func(_ *rand.Rand, i, _ int) int { return i },
	"in reverse":      func(_ *rand.Rand, i, n int) int { return n - i },
	"shuffled":        func(r *rand.Rand, _, n int) int { return r.IntN(n) },
	"half behind":     func(_ *rand.Rand, i, n int) int { return (i + n/2) % n },
	"half reversed":   func(_ *rand.Rand, i, n int) int { return min(i+n/2, (2*n-i)%n) },
	"at one time":     func(*rand.Rand, int, int) int { return 0 },
	"to both sides":   func(_ *rand.Rand, i, n int) int { return n/2 + i/2*(1-i%2*2) },
	"by far and near": func(_ *rand.Rand, i, n int) int { return i%2*n + i/2*(1-i%2*2) },
}

// TestFloodsCostLittle tries what one device may send in each order in which it may send
// it: how many events are folded once more for one must not follow how many there are.
func TestFloodsCostLittle(t *testing.T) {
	for kind, make := range floods {
		for order, place := range floodOrders {
			cost := func(n int) float64 {
				r, folded, p, q := rand.New(rand.NewPCG(1, 1)), uint64(0), params(), &Profile{}
				p.Refolded = &folded
				for i := range n {
					e := make(i, n)
					e.Time = 1_000_000_000_000 + int64(place(r, i, n))*500_000/int64(n)
					e.Offset, e.ID = int64(i), uint64(i)+1
					q.Add(&e, p)
				}
				return float64(folded) / float64(n)
			}
			if few, many := cost(400), cost(2000); many > few+4*float64(pieceLen) {
				t.Errorf("%s %s: each of 400 events folds %.0f others once more, each of 2,000 %.0f", kind, order, few, many)
			}
		}
	}
}
