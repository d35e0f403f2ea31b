package session

import (
	"slices"

	"github.com/microseg/microseg/event"
)

// isSale reports whether the event says something of the cart, or is an order.
func (e *item) isSale() bool {
	switch e.Kind {
	case event.KindOrder, event.KindCartAdd, event.KindCartRemove, event.KindCartView, event.KindCheckout, event.KindCartClear:
		return true
	}
	return false
}

// till is carts and revenue while sales are folded in order: carts are never changed,
// so that a copy for each sale would be most of the work.
type till struct {
	*Carts
	said    statement
	steps   []step // what has come since Carts is behind the first ones; nil: nothing
	revenue float64
}

// sell takes a sale in, which comes after all others.
func (l *till) sell(it *item) {
	if it.Kind == event.KindOrder {
		l.revenue += it.X
	}
	if s, ok := it.step(); ok && l.follows(s.place) {
		if l.steps == nil {
			l.steps = make([]step, 0, 4*maxSteps)
			if l.Carts != nil {
				l.said, l.steps = l.Carts.said, append(l.steps, l.Carts.steps...)
			}
		}
		if l.steps = append(l.steps, s); len(l.steps) > maxSteps {
			l.steps[1] = sum(&l.steps[0], &l.steps[1])
			l.steps = l.steps[1:]
		}
		return
	}
	c := l.carts().after(it)
	*l = till{Carts: c, revenue: l.revenue}
}

// follows reports whether a step comes after all that the carts are made of.
func (l *till) follows(p place) bool {
	said, steps := l.said, l.steps
	if steps == nil {
		if l.Carts == nil {
			return true
		}
		said, steps = l.Carts.said, l.Carts.steps
	}
	if n := len(steps); n > 0 {
		return steps[n-1].compare(p) < 0
	}
	return !said.stated || said.compare(p) < 0
}

// carts are the carts so far.
func (l *till) carts() *Carts {
	if l.steps != nil {
		l.Carts = (&Carts{said: l.said, steps: slices.Clone(l.steps)}).fold()
		l.said, l.steps = statement{}, nil
	}
	return l.Carts
}
