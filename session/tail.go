package session

import (
	"iter"
	"slices"
	"sort"
)

// tail is what a profile keeps for late events: the events behind the horizon and the
// fold of those before it.
//
// Few events are one list, and a late one folds all of them once more. A busy device
// has tens of thousands: they are a forest (see forest.go), in which a late one folds
// few others.
type tail struct {
	base   State
	list   list    // all events while they are few
	forest *forest // all events when they are many, else nil
	n      int
	closed []*Fold // sessions between base and head, oldest first: closed, but a late event may still bridge them
}

// pieceLen is how many events a piece of the forest has when another one begins behind
// it; twice as many are split. Tests try others.
var pieceLen = 32

// oldest is the event time of the oldest event.
func (t *tail) oldest() int64 {
	if t.forest != nil {
		return t.forest.oldest()
	}
	return t.list.oldest
}

// lists are the events in order, in pieces.
func (t *tail) lists() iter.Seq[*list] {
	return func(yield func(*list) bool) {
		if t.forest == nil {
			yield(&t.list)
			return
		}
		t.forest.lists(yield)
	}
}

// all goes through the events in order; each is valid until the next.
func (t *tail) all() iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for l := range t.lists() {
			for it := range l.all() {
				if !yield(it) {
					return
				}
			}
		}
	}
}

// follows reports whether an event comes after all others.
func (t *tail) follows(it *item) bool {
	if t.forest != nil {
		return t.forest.last().follows(it)
	}
	return t.list.follows(it)
}

// newest is the place of the newest event.
func (t *tail) newest() *link {
	if t.forest != nil {
		return &t.forest.last().last
	}
	return &t.list.last
}

// append adds an event that follows all others.
func (t *tail) append(it *item, p *Params) {
	t.n++
	if t.forest != nil {
		t.forest.add(it, p)
	} else if t.list.append(it); t.list.len() >= 2*pieceLen {
		t.plant(p)
	}
}

// plant makes a forest of the list.
func (t *tail) plant(p *Params) {
	t.forest = &forest{}
	for it := range t.list.all() {
		t.forest.add(it, p)
	}
	t.list = list{}
}

// whole is all events in one list.
func (t *tail) whole() *list {
	if t.forest == nil {
		return &t.list
	}
	var l list
	for it := range t.all() {
		l.append(it)
	}
	return &l
}

// insert places an event that follows not all others in a list.
func (l *list) insert(it *item) {
	if l.follows(it) {
		l.append(it)
		return
	}
	items := l.items()
	i := sort.Search(len(items), func(i int) bool { return it.before(&items[i]) })
	l.replace(slices.Insert(items, i, *it))
}
