package session

import (
	"cmp"
	"slices"
)

// A late event changes the fold of everything behind it, and the device's vector with
// that event must show it. Folding again whatever is behind each late event cost a
// hundred seconds for twenty requests of events in reverse order. So the fold goes on
// from the checkpoint before the event only until it meets what it was before, in all
// that what follows depends on: from there on nothing differs but by what is added up,
// and that is put right at the sessions' ends and at the head, and at the checkpoints
// when they are needed.

// checkpoints makes those that are missing; each event is folded once more for it.
func (q *Profile) checkpoints(p *Params) {
	t := q.tail
	last := t.pieces() - 1
	k := last
	for k > 0 && t.at(k).from == nil {
		k--
	}
	if k == last {
		return
	}
	t.settle(k + 1)
	s := t.start(k)
	for ; k < last; k++ {
		for it := range t.at(k).list.all() {
			q.step(&s, it, p)
		}
		c := s.clone()
		t.at(k + 1).from = &c
	}
}

// settle makes the checkpoints right up to that of a piece.
func (t *tail) settle(k int) {
	for i := range min(k, t.pieces()-1) {
		t.push(i)
	}
}

// push puts right at the next checkpoint what a late event has changed at this one.
// Those behind are as they were: a hundred late events in one place are one change.
func (t *tail) push(k int) {
	at := t.at(k)
	defer t.pushSales(k)
	if at.was == nil || k == t.pieces()-1 || t.at(k+1).from == nil {
		at.was = nil // there is nothing behind
		return
	}
	m, next := meeting{was: *at.was, now: *at.from}, t.at(k+1)
	at.was = nil
	if next.from.Fold.Start != m.was.Fold.Start {
		return
	}
	m.pages = samePages(m.was.Fold, m.now.Fold, next.from.Fold)
	if next.was == nil {
		was := next.from.clone()
		next.was = &was
	}
	m.carry(next.from.Fold)
}

// step folds an item into a state that is made anew.
func (q *Profile) step(s *State, it *item, p *Params) (closed *Fold) {
	p.refolded(1)
	old := s.Fold
	if s.step(it, q.facts, p) {
		return old
	}
	return nil
}

// insert folds a late event in and tells what became of the sessions.
func (q *Profile) insert(it *item, p *Params) Change {
	q.checkpoints(p)
	before, folds := q.starts(), append([]*Fold{q.tail.base.Fold}, q.tail.closed...)
	k := q.tail.find(it)
	q.tail.settle(k + 1)
	q.tail.place(k, it)
	q.refold(k, p)
	c := Change{Closed: changed(folds, q.tail.closed)}
	now := q.starts()
	for _, s := range before {
		if _, still := slices.BinarySearch(now, s); !still {
			c.Absorbed = append(c.Absorbed, s)
		}
	}
	return c
}

// changed are the sessions of now that were not so before. What a late event
// leaves as it was keeps its row, which says whose the session was then: the
// device may have been linked since.
func changed(before, now []*Fold) (out []*Fold) {
	for _, f := range now {
		if slices.Contains(before, f) {
			continue
		}
		if !slices.ContainsFunc(before, func(g *Fold) bool { return g != nil && g.Start == f.Start && f.Same(g) }) {
			out = append(out, f)
		}
	}
	return out
}

// starts are those of the sessions that late events can change, in order.
func (q *Profile) starts() []int64 {
	var s []int64
	for _, f := range q.tail.closed {
		s = append(s, f.Start)
	}
	if q.head.Fold != nil {
		s = append(s, q.head.Fold.Start)
	}
	return s
}

// refold makes checkpoints, sessions and head anew from a piece on, as far as needed.
func (q *Profile) refold(k int, p *Params) {
	t := q.tail
	s := t.start(k)
	i := 0
	for s.Fold != nil && i < len(t.closed) && t.closed[i].Start < s.Fold.Start {
		i++
	}
	closed := slices.Clone(t.closed[:i])
	for j := k; j < t.pieces(); j++ {
		if at := t.at(j); j > k {
			if at.from != nil {
				t.push(j)
				if m := q.meets(j, &s); m != nil {
					q.follow(j, m, closed, p)
					return
				}
			}
			c := s.clone()
			at.from = &c
		}
		for it := range t.at(j).list.all() {
			if old := q.step(&s, it, p); old != nil {
				closed = append(closed, old)
			}
		}
	}
	q.head, t.closed = s, closed
}

// follow puts right what is behind the beginning of a piece, where the fold has met
// what it was before.
func (q *Profile) follow(j int, m *meeting, closed []*Fold, p *Params) {
	t := q.tail
	i, _ := slices.BinarySearchFunc(t.closed, m.was.Fold.Start, func(f *Fold, start int64) int { return cmp.Compare(f.Start, start) })
	after := t.closed[i:]
	now := m.now.clone()
	t.at(j).was, t.at(j).from = t.at(j).from, &now
	own := len(closed) // where the session that is open there will be
	closed = append(closed, after...)
	if own < len(closed) && closed[own].Start == m.was.Fold.Start {
		closed[own] = closed[own].clone() // rows may show the old one
		m.carry(closed[own])
	} else {
		q.head.Fold = q.head.Fold.clone()
		m.carry(q.head.Fold)
	}
	t.closed = closed
	if m.sales {
		q.resell(j, m, own, p)
	}
}
