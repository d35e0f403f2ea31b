package session

import (
	"math"
	"slices"
)

// meeting is a place where a fold that was made anew has met what it was before: what
// follows does the same to both. was is the state as it was, now as it is.
type meeting struct {
	was, now State
	pages    []int // for each page of was the index of the same one in now; nil: they are the same
	sales    bool  // the carts or the revenue differ: that is for resell
}

// meets is the meeting of the fold with what it was at the beginning of piece j, nil
// where what follows would do something else to both, or might.
func (q *Profile) meets(j int, s *State) *meeting {
	m := &meeting{was: *q.tail.at(j).from, now: *s}
	o, n := m.was.Fold, m.now.Fold
	last := q.sessionOf(o.Start)
	if m.was.Context != m.now.Context || !n.proceeds(o) || last.End-min(o.Start, n.Start) > math.MaxInt32 {
		return nil // beyond, the dwell of a page is cut off
	}
	if m.pages = samePages(o, n, last); m.pages == nil {
		return nil
	}
	m.sales = o.Revenue != n.Revenue || m.was.carts != m.now.carts && !m.was.carts.equal(m.now.carts)
	if m.sales && last != q.head.Fold && q.facts != nil && len(q.facts.late) > 0 {
		return nil // the session that opens behind it finds them in the carts
	}
	return m
}

// sessionOf is the last fold of the session that began then.
func (q *Profile) sessionOf(start int64) *Fold {
	for _, f := range q.tail.closed {
		if f.Start == start {
			return f
		}
	}
	return q.head.Fold
}

// proceeds reports whether what follows does the same to n as it did to o, as far as
// that is in single values. What is a maximum, or holds what came first, may be as
// far on as it likes, but not behind.
func (n *Fold) proceeds(o *Fold) bool {
	return n.End == o.End && n.viewed == o.viewed && n.called == o.called && n.Paged == o.Paged &&
		n.Velocity == o.Velocity && n.MaxDepth >= o.MaxDepth && (n.Half != 0 || o.Half == 0) &&
		len(n.Path) >= len(o.Path) && slices.Equal(n.plays, o.plays)
}

// samePages finds o's pages among n's, nil where they are not all the same ones. Their
// order says only which one is forgotten first, and which of two with one key is found;
// so it may differ where neither happens until last.
func samePages(o, n, last *Fold) []int {
	if len(o.pages) != len(n.pages) {
		return nil
	}
	at := make([]int, len(o.pages))
	for i := range o.pages {
		at[i] = i
		if !o.pages[i].continuedBy(&n.pages[i]) {
			if at = n.findAll(o); at == nil || last.evicted != o.evicted || last.twins != o.twins {
				return nil
			}
			break
		}
	}
	if o.cur >= 0 && n.cur != at[o.cur] || o.cur < 0 && n.cur >= 0 {
		return nil
	}
	return at
}

// findAll finds o's pages by their keys, those of one key in their order.
func (n *Fold) findAll(o *Fold) []int {
	at := make([]int, len(o.pages))
	var found [maxPages]bool
	for i := range o.pages {
		k := 0
		for k < len(n.pages) && (found[k] || n.pages[k].key != o.pages[i].key) {
			k++
		}
		if k == len(n.pages) || !o.pages[i].continuedBy(&n.pages[k]) {
			return nil
		}
		at[i], found[k] = k, true
	}
	return at
}

// continuedBy reports whether n is the same page, with at least as much seen of it.
func (o *page) continuedBy(n *page) bool {
	return o.key == n.key && o.other == n.other && o.kind == n.kind && o.highTicket == n.highTicket &&
		n.depth >= o.depth && (n.half != 0 || o.half == 0)
}

// carry puts a later fold of the same session right.
func (m *meeting) carry(f *Fold) {
	o, n := m.was.Fold, m.now.Fold
	f.Start = n.Start
	was, now := o.counters(), n.counters()
	for i, c := range f.counters() {
		*c += *now[i] - *was[i]
	}
	f.HighTicket += n.HighTicket - o.HighTicket
	for i := range f.Dwell {
		f.Dwell[i] += n.Dwell[i] - o.Dwell[i]
	}
	for i := range f.Hover {
		f.Hover[i] += n.Hover[i] - o.Hover[i]
		f.Focus[i] += n.Focus[i] - o.Focus[i]
	}
	f.MaxDepth = max(f.MaxDepth, n.MaxDepth)
	if n.Half != 0 {
		f.Half = n.Half
	}
	if len(o.Path) < maxPath || len(n.Path) < maxPath {
		path := append(slices.Clone(n.Path), f.Path[len(o.Path):]...)
		f.Path = path[:min(len(path), maxPath)]
	} else {
		copy(f.Path, n.Path)
	}
	m.carryPages(f)
	f.evicted += n.evicted - o.evicted
	f.twins += n.twins - o.twins
}

// carryPages puts what is seen of those pages right that the session still remembers,
// and puts them into their order.
func (m *meeting) carryPages(f *Fold) {
	o, n := m.was.Fold, m.now.Fold
	gone := int(f.evicted - o.evicted)
	pages := slices.Clone(f.pages)
	for i := gone; i < len(o.pages); i++ {
		k := m.pages[i]
		g, was, now := f.pages[i-gone], &o.pages[i], &n.pages[k]
		g.dwell += now.dwell - was.dwell
		g.depth = max(g.depth, now.depth)
		if now.half != 0 {
			g.half = now.half
		}
		pages[k-gone] = g
	}
	if at := f.cur + gone; f.cur >= 0 && at < len(o.pages) {
		f.cur = m.pages[at] - gone
	}
	f.pages = pages
}
