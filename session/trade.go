package session

import (
	"math"

	"github.com/microseg/microseg/event"
)

// trade is what a part of a tree says of carts and revenue, without what they were
// before it. Both are sums of floats in the order of their events, and stay so to the
// last bit (see drift).
type trade struct {
	stale  bool // sales of it have changed
	orders bool
	states bool // some are more than steps of the cart
	steps  int
	lead   int  // of these, before the first leaf that has more than steps
	fixed  bool // carts are kept behind some leaf of it
	earned drift
	repeat *repeat // it is nothing but statements of one cart
	// Of steps alone: what they add to a sum of steps (see sum).
	last  place
	value drift
	whole bool    // the items are whole numbers and few, so that their order is nothing
	items float64 // all of them
	most  float64 // all of them, taken out or put in
	floor float64 // how many there are behind it at the least
}

// wholeItems bounds numbers of items that are added up exactly.
const wholeItems = 1 << 50

// tradeOf is that of a leaf with these sales.
func tradeOf(sales []item) *trade {
	if len(sales) == 0 {
		return nil
	}
	t := &trade{stale: true, whole: true, floor: math.Inf(-1), steps: len(sales)}
	for i := range sales {
		s, ok := sales[i].step()
		t.states = t.states || !ok
		t.orders = t.orders || sales[i].Kind == event.KindOrder
		if !t.states {
			s = s.asSum()
			t.last, t.whole = s.place, t.whole && math.Trunc(s.items) == s.items
			t.floor = max(t.floor+s.items, 0, s.least)
			t.items += s.items
			t.most += math.Abs(s.items)
		}
	}
	if t.lead = t.steps; t.states {
		t.steps, t.lead, t.repeat = 0, 0, repeated(sales)
		t.fixed = t.repeat == nil
	}
	t.whole = t.whole && t.most < wholeItems
	return t
}

// of is the trade of two that follow each other; t is what it was.
func (t *trade) of(l, r *trade) *trade {
	if l == nil && r == nil {
		return nil
	}
	if l == nil || r == nil {
		one := *l.or(r)
		if t != nil && !one.stale {
			one.earned, one.value = t.earned, t.value
		}
		return &one
	}
	out := &trade{stale: l.stale || r.stale, orders: l.orders || r.orders, states: l.states || r.states, fixed: l.fixed || r.fixed, repeat: l.repeat.and(r.repeat), steps: l.steps + r.steps, lead: l.lead}
	if !l.states {
		out.lead += r.lead
	}
	if !out.states {
		out.last, out.items, out.most, out.floor = r.last, l.items+r.items, l.most+r.most, max(l.floor+r.items, r.floor)
		out.whole = l.whole && r.whole && out.most < wholeItems
	}
	if t != nil && !out.stale {
		out.earned, out.value = t.earned, t.value
	}
	return out
}

func (t *trade) or(o *trade) *trade {
	if t == nil {
		return o
	}
	return t
}

// add adds the steps to a sum of steps; ok is false where that must be done one by one.
func (t *trade) add(s *step) (ok bool) {
	if t.stale || !t.whole || math.Trunc(s.items) != s.items || math.Trunc(s.least) != s.least || math.Abs(s.items)+s.least+t.most >= 2*wholeItems {
		return false
	}
	price, ok := t.value.from(s.price)
	if ok {
		s.place, s.price, s.items, s.least = t.last, price, s.items+t.items, max(s.least+t.items, t.floor)
	}
	return ok
}

// step is the change of the cart that the event makes if what else is known of the cart
// comes before it; ok is false where it says more than a change.
func (e *item) step() (s step, ok bool) {
	s, ok = stepOf(e)
	return s, ok && e.Flags&flagOlder == 0 && (s.how != stepValue || !stated(e))
}

// repeat is one cart that is stated again and again: it has changed when it was first
// stated, if it is another one than there was.
type repeat struct {
	cart  Cart
	last  place
	first int64
}

// repeated is that of sales that are nothing else, nil of others.
func repeated(sales []item) *repeat {
	a := &sales[0]
	for i := range sales {
		e := &sales[i]
		if e.Kind != event.KindCartView && e.Kind != event.KindCheckout || !stated(e) || e.Y <= crumb || e.X == 0 && e.Flags&event.FlagPriced == 0 ||
			e.Flags&flagOlder != 0 || e.X != a.X || e.Y != a.Y {
			return nil
		}
	}
	z := &sales[len(sales)-1]
	return &repeat{cart: Cart{Items: a.Y, Value: a.X}, last: place{z.Time, z.Offset}, first: a.Time}
}

func (r *repeat) and(o *repeat) *repeat {
	if r == nil || o == nil || r.cart != o.cart {
		return nil
	}
	return &repeat{cart: r.cart, last: o.last, first: r.first}
}

// after is the carts behind the statements.
func (r *repeat) after(c *Carts) *Carts {
	s := statement{place: r.last, stated: true, cart: r.cart}
	was := c.Cart()
	if s.cart.Changed = r.first; s.cart.same(was) {
		s.cart.Changed = was.Changed
	}
	return (&Carts{said: s}).fold()
}
