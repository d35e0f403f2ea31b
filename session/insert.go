package session

import (
	"cmp"
	"slices"
)

// step folds an item into a state that is made anew.
func (q *Profile) step(s *State, it *item, p *Params) (closed *Fold) {
	p.refolded(1)
	old := s.Fold
	if s.step(it, q.facts, p) {
		return old
	}
	return nil
}

// insert folds a late event in and tells what became of the sessions. A late event
// changes the fold of everything behind it, and the device's vector with that event
// must show it.
func (q *Profile) insert(it *item, p *Params) Change {
	t := q.tail
	before, folds := q.starts(), append([]*Fold{t.base.Fold}, t.closed...)
	t.n++
	if t.forest != nil {
		own := len(t.closed) - len(t.forest.trees) + 1
		q.fold(t.forest.insert(it, p), own, p)
	} else {
		t.list.insert(it)
		q.refold(p)
		if t.list.len() >= 2*pieceLen {
			t.plant(p)
		}
	}
	c := Change{Closed: changed(folds, t.closed)}
	now := q.starts()
	for _, s := range before {
		if _, still := slices.BinarySearch(now, s); !still {
			c.Absorbed = append(c.Absorbed, s)
		}
	}
	return c
}

// refold makes sessions and head anew from all events.
func (q *Profile) refold(p *Params) {
	s, closed := q.tail.base.clone(), []*Fold(nil)
	for it := range q.tail.all() {
		if old := q.step(&s, it, p); old != nil {
			closed = append(closed, old)
		}
	}
	q.head, q.tail.closed = s, closed
}

// changed are the sessions of now that were not so before; both are in order. What a
// late event leaves as it was keeps its row, which says whose the session was then: the
// device may have been linked since.
func changed(before, now []*Fold) (out []*Fold) {
	if before[0] == nil {
		before = before[1:]
	}
	for _, f := range now {
		i, _ := slices.BinarySearchFunc(before, f.Start, func(g *Fold, start int64) int { return cmp.Compare(g.Start, start) })
		same := false
		for ; i < len(before) && before[i].Start == f.Start; i++ { // the base may be one of them, or its beginning
			same = same || before[i] == f || f.Same(before[i])
		}
		if !same {
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
