package session

import "github.com/microseg/microseg/event"

// sell finds carts and revenue behind the events of a session from what they were
// before them.
func (t *tree) sell(carts *Carts, revenue float64, p *Params) (*Carts, float64) {
	w := seller{p: p, Carts: carts, differs: !t.known || !carts.equal(t.before)}
	revenue = w.earn(t.node, revenue)
	first := t.first().head()
	if l := (till{Carts: carts}); t.trade != nil && !l.follows(place{first.Time, first.Offset}) {
		t.known = false // what is known already is newer than some of the events
		for n := range t.leaves() {
			for i := range n.leaf.sales {
				l.sell(&n.leaf.sales[i])
			}
		}
		return l.carts(), revenue
	}
	if t.trade == nil {
		t.behind = carts
	} else if w.differs || t.trade.stale {
		w.pass(t.node, 0)
		t.behind = w.carts()
	}
	t.before, t.known = carts, true
	return t.behind, revenue
}

// earn is the revenue behind a part of a tree, from x before it.
func (w *seller) earn(n *node, x float64) float64 {
	t := n.trade
	if t == nil || !t.orders {
		return x
	}
	w.p.refolded(1)
	if !t.stale {
		if out, ok := t.earned.from(x); ok {
			return out
		}
	}
	if n.leaf == nil {
		out := w.earn(n.right, w.earn(n.left, x))
		switch l, r := n.left.trade, n.right.trade; {
		case l == nil || !l.orders:
			t.earned = r.earned
		case r == nil || !r.orders:
			t.earned = l.earned
		default:
			t.earned = l.earned.then(&r.earned)
		}
		return out
	}
	t.earned = driftFrom(x)
	for i := range n.leaf.sales {
		if it := &n.leaf.sales[i]; it.Kind == event.KindOrder {
			t.earned.add(it.X)
			w.p.refolded(1)
		}
	}
	return t.earned.out
}

// seller goes through the sales of a tree. Its carts are Carts, or, while they are open,
// what was said, the sum of the first steps after it and the others.
type seller struct {
	p *Params
	*Carts
	differs bool // carts are not what they were here
	open    bool
	summed  bool // there is a sum
	sum     step
	others  []step
}

func (w *seller) set(c *Carts) { w.Carts, w.open = c, false }

// carts are the carts so far.
func (w *seller) carts() *Carts {
	if !w.open {
		return w.Carts
	}
	all := w.others
	if w.summed {
		all = append([]step{w.sum}, all...)
	}
	for ; len(all) > maxSteps; all = all[1:] {
		all[1] = sum(&all[0], &all[1])
	}
	c := &Carts{steps: append([]step(nil), all...)}
	if w.Carts != nil {
		c.said = w.Carts.said
	}
	w.set(c.fold())
	return w.Carts
}

// begin opens the carts.
func (w *seller) begin() {
	if w.open {
		return
	}
	w.open, w.summed, w.others = true, false, nil
	if w.Carts != nil {
		w.others = append(w.others, w.steps...)
	}
}

// settle adds the steps so far to the sum: more follow than are kept one by one.
func (w *seller) settle() {
	for i := range w.others {
		w.add(&w.others[i])
	}
	w.others = w.others[:0]
}

func (w *seller) add(s *step) {
	if !w.summed {
		w.sum, w.summed = s.asSum(), true
		return
	}
	w.sum = sum(&w.sum, s)
}

// pass goes through a part of a tree; steps is how many steps of the cart follow it before
// anything else is said of it.
func (w *seller) pass(n *node, steps int) {
	t := n.trade
	switch {
	case t == nil:
		return
	case t.repeat != nil && (n.leaf != nil || !t.stale):
		w.p.refolded(1)
		w.differs = w.differs || t.stale
		w.set(t.repeat.after(w.carts()))
	case n.leaf != nil && t.states:
		w.statement(n)
	case n.leaf != nil:
		w.leaf(n, steps)
	case t.states && !t.stale && !w.differs && n.right.trade != nil && n.right.trade.fixed:
		w.pass(n.right, steps)
		return
	case !t.states && w.sums(t, steps):
		w.p.refolded(1)
		return
	default:
		follow := steps
		if r := n.right.trade; r != nil && r.states {
			follow = r.lead
		} else if r != nil {
			follow += r.steps
		}
		w.pass(n.left, follow)
		w.pass(n.right, steps)
		w.drift(n)
	}
	t.stale = false
}

// sums adds steps to the sum at once, where so many follow that none is kept one by one.
func (w *seller) sums(t *trade, steps int) bool {
	if w.begin(); steps < maxSteps {
		return false
	}
	w.settle()
	return w.summed && t.add(&w.sum)
}

// drift keeps what the steps below have added to the sum.
func (w *seller) drift(n *node) {
	switch l, r := n.left.trade, n.right.trade; {
	case n.trade.states:
	case l == nil:
		n.trade.value = r.value
	case r == nil:
		n.trade.value = l.value
	default:
		n.trade.value = l.value.then(&r.value)
	}
}

// leaf takes steps in.
func (w *seller) leaf(n *node, steps int) {
	t, sales := n.trade, n.leaf.sales
	w.p.refolded(1)
	w.differs = w.differs || t.stale
	if w.sums(t, steps) {
		return
	}
	w.p.refolded(len(sales))
	t.value = drift{}
	if steps >= maxSteps && w.summed {
		t.value = driftFrom(w.sum.price)
	}
	for i := range sales {
		s, _ := sales[i].step()
		if steps < maxSteps {
			w.others = append(w.others, s)
			continue
		}
		if t.value.known {
			x := s.asSum()
			t.value.add(x.price)
		}
		w.add(&s)
	}
}

// statement takes sales in of which some say more than a step.
func (w *seller) statement(n *node) {
	x, stale := n.leaf, n.trade.stale
	w.p.refolded(1)
	if x.known && !stale && !w.differs {
		w.set(x.behind)
		return
	}
	before := w.carts()
	if x.known && !stale && before.equal(x.before) {
		w.differs = false
		w.set(x.behind)
		return
	}
	w.p.refolded(len(x.sales))
	l := till{Carts: before}
	for i := range x.sales {
		l.sell(&x.sales[i])
	}
	behind := l.carts()
	w.differs = !x.known || !behind.equal(x.behind)
	x.before, x.behind, x.known = before, behind, true
	w.set(behind)
}
