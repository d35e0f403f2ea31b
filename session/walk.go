package session

import "slices"

// fold makes the sessions from a tree on anew, as far as they have changed, and the head.
// own is how many of the closed sessions are of the base alone: none, or its last.
func (q *Profile) fold(tree, own int, p *Params) {
	t := q.tail
	trees, old := t.forest.trees, t.closed
	w, carts := walk{p: p, stretch: wholeOf(t.base.Fold, t.base.Context)}, t.base.carts
	if tree > 0 {
		f := old[own+tree-1]
		w, carts = walk{p: p, stretch: wholeOf(nil, f.Context)}, f.carts
	}
	closed := slices.Clone(old[:own+tree])
	for i := tree; ; i++ {
		first := trees[i].first().head()
		if w.Events == 0 || first.Time >= w.End+p.Gap {
			w.stretch = wholeOf(newFold(p, first.Time), w.Context)
			carts = carts.late(q.facts, first.Offset)
		} else {
			closed = closed[:0] // the base's goes on
		}
		f := w.tree(trees[i], carts)
		if i == len(trees)-1 {
			q.head = State{Fold: f, carts: f.carts, Context: f.Context}
			break
		}
		closed, carts = append(closed, f), f.carts
		rest := len(trees) - 2 - i // closed sessions behind it
		if at := len(old) - rest - 1; at >= 0 && old[at].Context == f.Context && old[at].carts.equal(f.carts) {
			closed = append(closed, old[at+1:]...)
			break
		}
	}
	if t.closed = closed; w.torn {
		q.refold(p)
	}
}

// walk goes through trees from what was before them, the stretch, and folds anew what is
// not as it was.
type walk struct {
	p *Params
	*stretch
	pages, plays bool // they may differ from what the events that follow were folded from
}

// tree goes through a session, and returns it as it is now; carts are those before it.
func (w *walk) tree(t *tree, carts *Carts) *Fold {
	w.pages, w.plays = false, false
	revenue := w.Revenue
	w.node(t.node, 0)
	f := w.Fold.clone()
	f.carts, f.Revenue = t.sell(carts, revenue, w.p)
	return f
}

// node goes through a part of a tree, and reports whether its stretch is another one;
// shed is how many pages were forgotten behind it.
func (w *walk) node(n *node, shed uint32) (changed bool) {
	switch {
	case !n.dirty && !w.touches(n.reads):
		w.skip(n)
		return false
	case n.leaf != nil:
		return w.piece(n, shed)
	}
	a, b := w.node(n.left, shed+n.right.shed), w.node(n.right, shed)
	if changed = n.dirty || a || b; changed {
		if n.sum == nil {
			n.sum = &stretch{}
		}
		n.sum.set(n.left.sum)
		n.sum.add(n.right.sum)
		w.p.refolded(1)
	}
	n.dirty = false
	n.fix()
	return changed
}

// touches reports whether something that may differ is read.
func (w *walk) touches(r reads) bool {
	return w.pages && r&readsPages != 0 || w.plays && r&readsPlays != 0
}

// skip adds what is as it was.
func (w *walk) skip(n *node) {
	w.add(n.sum)
	w.p.refolded(1)
}

// piece folds a leaf anew if it has changed, or reads what differs.
func (w *walk) piece(n *node, shed uint32) (changed bool) {
	x := n.leaf
	changed = n.dirty
	if !changed && w.pages && n.reads&readsPages != 0 {
		w.pages = !w.meets(x, shed+n.shed)
		changed = w.pages
	}
	if !changed && w.plays && n.reads&readsPlays != 0 {
		same := slices.Equal(w.Fold.plays, x.in.plays)
		w.plays = w.pages || !same
		changed = !same
	}
	if changed {
		if n.sum == nil {
			n.sum = &stretch{}
		}
		x.folded(n.sum, n.reads, w.stretch, w.p)
		n.dirty, n.shed = false, n.sum.evicted+n.sum.twins
		if x.resell {
			n.trade, x.resell, x.known = tradeOf(x.sales), false, false
		}
		w.pages, w.plays = true, true
	}
	w.add(n.sum)
	return changed
}

// meets reports whether the pages are those that a piece was folded from. Their order
// says only which one is forgotten first, and which of two with one key is found; so it
// may differ where neither happens from there on.
func (w *walk) meets(x *piece, shed uint32) bool {
	s, in := w.stretch, &x.in
	if s.viewed != in.viewed || s.called != in.called || len(s.pages) != len(in.pages) || (s.cur < 0) != (in.cur < 0) {
		return false
	}
	keys := make([]uint64, len(in.pages))
	for i := range in.pages {
		keys[i] = in.pages[i].key
	}
	moved := false
	at, ok := places(s.pages, keys)
	if !ok {
		return false
	}
	for i := range in.pages {
		if !s.pages[at[i]].is(&in.pages[i]) {
			return false
		}
		moved = moved || int(at[i]) != i
	}
	return (in.cur < 0 || s.cur == int(at[in.cur])) && (!moved || shed == 0)
}

// is reports whether both are the same page.
func (g *page) is(o *page) bool {
	return g.key == o.key && g.other == o.other && g.kind == o.kind && g.highTicket == o.highTicket
}
