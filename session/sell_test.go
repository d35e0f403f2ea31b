package session

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
)

// saleOf is what a shop says of a cart: mostly steps, up and down in turn, or mostly orders, or of all kinds;
// with prices that floats have no exact place for.
func saleOf(r *rand.Rand, mix int) event.Event {
	kind := []event.Kind{event.KindCartAdd, event.KindCartAdd, event.KindCartRemove, event.KindCartView, event.KindCheckout, event.KindOrder, event.KindCartClear, event.KindClick}[r.IntN(8)]
	switch {
	case mix == 0 || mix == 1 && r.IntN(60) > 0:
		kind = []event.Kind{event.KindCartAdd, event.KindCartAdd, event.KindCartAdd, event.KindCartRemove}[r.IntN(4)]
	case mix == 2 && r.IntN(20) > 0:
		kind = event.KindOrder
	case mix == 4:
		kind = []event.Kind{event.KindCartAdd, event.KindCartRemove}[r.IntN(2)]
		return event.Event{Kind: kind, X: 0.1 * float64(1+r.IntN(9)), Y: 1, Flags: event.FlagPriced}
	case mix == 3 && r.IntN(20) > 0:
		return event.Event{Kind: event.KindCheckout, X: 9.99, Y: 2, Flags: event.FlagCart | event.FlagPriced}
	}
	e := event.Event{Kind: kind, X: []float64{0.1 * float64(r.IntN(90)), 19.99, 0, 1e6 * r.Float64(), math.Ldexp(1, -r.IntN(60))}[r.IntN(5)],
		Y: float64(1 + r.IntN(3)), Flags: event.Flags(r.IntN(2)) * event.FlagPriced}
	switch {
	case kind == event.KindCartView && r.IntN(2) == 0:
		e.X, e.Y = 9.99, 2 // the same cart again
		e.Flags |= event.FlagCart
	case kind == event.KindCartView && r.IntN(2) == 0:
		e.Y = 0 // its value alone
	case r.IntN(50) == 0:
		e.Y = 0.3
	}
	return e
}

// TestSalesEqualModel: what is sold is added up in order, to the last bit, however the
// events come. It is compared with a fold that adds all of them up, one after the other.
func TestSalesEqualModel(t *testing.T) {
	p, short := params(), shortPieces(t)
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 8))
		p.Gap = []int64{30 * minute, 4_000}[r.IntN(2)]
		short(r)
		q, events, mix, n := &Profile{}, []event.Event(nil), r.IntN(6), 200+r.IntN(300)
		for i := range int64(n) {
			e := saleOf(r, mix)
			e.Time, e.Offset, e.ID = 1_000_000_000_000+r.Int64N(p.Lateness), i, uint64(i)+1
			if seed%3 == 0 {
				e.Time = 1_000_000_000_000 - i*1000
			}
			at, _ := slices.BinarySearchFunc(events, e, func(a, b event.Event) int {
				return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
			})
			events = slices.Insert(events, at, e)
			if q.Add(&e, p); i%5 > 0 {
				continue
			}
			revenue, carts := 0.0, (*Carts)(nil)
			for k := range events {
				if k > 0 && events[k].Time >= events[k-1].Time+p.Gap {
					revenue = 0
				}
				if it := newItem(&events[k]); it.Kind == event.KindOrder {
					revenue += it.X
				}
				it := newItem(&events[k])
				carts = carts.after(&it)
			}
			var got, want codec.Writer
			q.Carts().AppendTo(&got)
			carts.AppendTo(&want)
			if f := q.head.Fold; !bytes.Equal(got.B, want.B) || math.Float64bits(f.Revenue) != math.Float64bits(revenue) || f.Cart() != carts.Cart() {
				t.Fatalf("seed %d, event %d: %v, revenue %v\nthe model has %v, %v", seed, i, q.Carts(), f.Revenue, carts, revenue)
			}
		}
	}
}

// TestDriftEqualsSum: sums that begin elsewhere are those of floats, one after the other.
func TestDriftEqualsSum(t *testing.T) {
	found := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 9))
		x := math.Ldexp(r.Float64(), r.IntN(20))
		d, terms := driftFrom(x), []float64(nil)
		for range r.IntN(40) {
			a := []float64{19.99, 0.1 * float64(r.IntN(20)), math.Ldexp(float64(r.IntN(9)), -r.IntN(60)), r.Float64()}[r.IntN(4)]
			if r.IntN(3) == 0 {
				a = -a
			}
			terms = append(terms, a)
			d.add(a)
		}
		for range 20 {
			y := d.in
			switch r.IntN(3) {
			case 0:
				y += r.Float64()
			case 1:
				y = math.Nextafter(y, math.Inf(r.IntN(2)*2-1))
			default:
				y -= 0.1 * float64(r.IntN(9))
			}
			want := y
			for _, a := range terms {
				want += a
			}
			if got, ok := d.from(y); ok {
				found++
				if got != want {
					t.Fatalf("seed %d: from %v the sums of %v come to %v, not %v", seed, y, terms, want, got)
				}
			}
		}
	}
	if found < 10_000 {
		t.Errorf("only %d of 60,000 sums are known", found)
	}
}

// TestDriftToAPowerOfTwo: something of 0.1 is taken out of a cart of 5.1, and a late event
// makes it one of 4.1. Numbers below 4 are half as far apart as those above, so that less is
// rounded away there: the value was 4, and a fold of all events has 3.9999999999999996.
func TestDriftToAPowerOfTwo(t *testing.T) {
	for _, price := range []float64{-0.1, -0.3, -0.7} {
		for whole := 2.0; whole <= 64; whole *= 2 {
			for i := range 40 {
				for _, sign := range []float64{1, -1} {
					a, x := sign*price, sign*(whole-price)
					d := driftFrom(sign * (whole - price + float64(i)*whole/40))
					d.add(a)
					if got, ok := d.from(x); ok && got != x+a {
						t.Fatalf("%v and %v are %v, not %v", x, a, x+a, got)
					}
				}
			}
		}
	}
}
