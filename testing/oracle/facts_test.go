package oracle

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// said is a random event that may say something of the cart.
func said(r *rand.Rand, device string, t, offset int64) event.Event {
	kinds := []event.Kind{event.KindPage, event.KindCartAdd, event.KindCartAdd, event.KindCartRemove, event.KindCartView, event.KindCheckout, event.KindCartClear, event.KindOrder}
	e := event.Event{Device: device, Time: t, Offset: offset, ID: uint64(offset) + 1, Kind: kinds[r.IntN(len(kinds))]}
	switch e.Kind {
	case event.KindCartAdd, event.KindCartRemove:
		e.X, e.Y = float64(r.IntN(4)), []float64{1, 2, 0, -1, 0.5, 3}[r.IntN(6)]
		if e.X > 0 || r.IntN(2) == 0 {
			e.Flags = event.FlagPriced
		}
	case event.KindCartView, event.KindCheckout:
		switch r.IntN(3) {
		case 0: // says nothing of the items
			e.X = float64(r.IntN(30))
		case 1:
			e.Flags, e.Y = event.FlagCart, float64(r.IntN(4))
		default:
			e.Flags, e.Y = event.FlagCart|event.FlagPriced, float64(r.IntN(4))
			e.X = 2 * e.Y
		}
	}
	return e
}

// TestCartsOfAPerson: an order by the server left the laptop's cart full, so that
// the buyer abandoned it a minute later. Whatever several devices say of the cart,
// early or late, on a few equal times, is folded as the naive model does that
// holds everything.
func TestCartsOfAPerson(t *testing.T) {
	t.Parallel()
	p := &session.Params{Gap: 1000, DwellCap: 1000, Lateness: 1 << 40, Elements: 0, HalfLives: signal.HalfLives{Live: 1000, Long: 2000}, Weigher: signal.NewWeigher(nil)}
	full := 0
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 4))
		var parts []*Part
		var made []session.Part
		for d := range 1 + r.IntN(3) {
			part := &Part{Device: fmt.Sprint("d", d), Fold: &session.Profile{}}
			for offset := range int64(r.IntN(12)) {
				e := said(r, part.Device, 1000+r.Int64N(60), offset)
				if (e.Kind == event.KindOrder || e.Kind == event.KindCartAdd || e.Kind == event.KindCartClear) && r.IntN(3) == 0 {
					part.Late = append(part.Late, e)
					part.Fold.AddLate(&e, p)
					continue
				}
				part.Events = append(part.Events, e)
				part.Fold.Add(&e, p)
			}
			slices.SortFunc(part.Events, func(a, b event.Event) int {
				return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
			})
			parts = append(parts, part)
			made = append(made, session.Part{Device: part.Device, Carts: part.Fold.Carts()})
		}
		got, want := session.Together(made), CartOf(parts)
		// What a statement leaves open is completed by what the device knew then,
		// which the model does not know of late events.
		if slices.ContainsFunc(parts, func(p *Part) bool { return len(p.Late) > 0 }) {
			got.Value, got.Changed = want.Value, want.Changed
		}
		if !alike(got, want) || got.Changed != want.Changed {
			t.Fatalf("seed %d: %+v, the model has %+v", seed, got, want)
		}
		if want.Items > 0 {
			full++
		}
	}
	if full < 500 {
		t.Errorf("only %d carts were not empty", full)
	}
}
