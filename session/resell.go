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

// sold are the piece's sales.
func (q *piece) sold() []item {
	if q.sales == nil {
		q.sales = &[]item{}
		for it := range q.list.all() {
			if it.isSale() {
				*q.sales = append(*q.sales, *it)
			}
		}
	}
	return *q.sales
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
	if s, ok := stepOf(it); ok && it.Flags&flagOlder == 0 && (s.how != stepValue || !stated(it)) && l.follows(s.place) {
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

// resell puts carts and revenue right behind a meeting: nothing else depends on them,
// so only what was sold is folded again. own is the first of the closed sessions that
// ends behind it. The checkpoints behind it wait (see push).
func (q *Profile) resell(j int, m *meeting, own int, p *Params) {
	t := q.tail
	l, open := till{Carts: m.now.carts, revenue: m.now.Fold.Revenue}, true // open: the session of the meeting
	put := func(f *Fold) {
		if f.carts = l.carts(); open {
			f.Revenue = l.revenue
		}
	}
	next := own
	end := func(until int64) { // of the closed sessions
		for ; next < len(t.closed) && t.closed[next].End < until; next++ {
			if next > own {
				t.closed[next] = t.closed[next].clone() // rows may show the old one
			}
			put(t.closed[next])
			open = false
		}
	}
	for k := j; k < t.pieces(); k++ {
		sales := t.at(k).sold()
		for i := range sales {
			end(sales[i].Time)
			l.sell(&sales[i])
		}
		p.refolded(len(sales))
	}
	end(q.head.Fold.Start)
	put(q.head.Fold)
	q.head.carts = l.carts()
	if t.resold = 0; j+1 < t.pieces() {
		t.resold = j + 1
	}
}

// pushSales puts carts and revenue right at the next checkpoint.
func (t *tail) pushSales(k int) {
	if t.resold != k+1 {
		return
	}
	from, next := &t.base, t.at(k+1).from
	if k > 0 {
		from = t.at(k).from
	}
	l := till{Carts: from.carts}
	same := from.Fold != nil && from.Fold.Start == next.Fold.Start
	if same {
		l.revenue = from.Fold.Revenue
	}
	for _, it := range t.at(k).sold() {
		l.sell(&it)
	}
	next.carts = l.carts()
	if next.Fold.carts = next.carts; same {
		next.Fold.Revenue = l.revenue
	}
	if t.resold = k + 2; t.resold >= t.pieces() || t.at(t.resold).from == nil {
		t.resold = 0
	}
}
