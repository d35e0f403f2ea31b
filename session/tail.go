package session

import (
	"iter"
	"slices"
	"sort"
)

// tail is what a profile keeps for late events: the events behind the horizon and the
// fold of those before it.
//
// A busy device has tens of thousands of them. They are in pieces, so that one that
// comes late moves the items of one piece only, and each piece has a checkpoint, the
// fold of everything before it, once a late event needs it (see insert.go).
type tail struct {
	base   State
	older  []*piece // in order; nil while there are few events
	piece           // the newest, never empty
	n      int      // events in all pieces
	resold int      // the first piece at whose checkpoint carts and revenue are not right (see pushSales), 0: none
	closed []*Fold  // sessions between base and head, oldest first: closed, but a late event may still bridge them
}

// piece is some consecutive events.
type piece struct {
	list  list
	from  *State  // the checkpoint; nil: not made yet; of the first piece base is it
	was   *State  // what the checkpoint was when those behind it were right; nil: they are (see push)
	sales *[]item // what says something of the cart or is an order; nil: not looked for yet
}

// pieceLen is the length at which another piece begins; one in the middle is split at
// twice as much. Tests try others.
var pieceLen = 64

// pieces is how many there are.
func (t *tail) pieces() int { return len(t.older) + 1 }

func (t *tail) at(k int) *piece {
	if k < len(t.older) {
		return t.older[k]
	}
	return &t.piece
}

// start is a copy of the fold of everything before a piece.
func (t *tail) start(k int) State {
	if k == 0 {
		return t.base.clone()
	}
	return t.at(k).from.clone()
}

// oldest is the event time of the oldest event.
func (t *tail) oldest() int64 { return t.at(0).list.oldest }

// all goes through the events in order; each is valid until the next.
func (t *tail) all() iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for k := range t.pieces() {
			for it := range t.at(k).list.all() {
				if !yield(it) {
					return
				}
			}
		}
	}
}

// append adds an event that follows all others.
func (t *tail) append(it *item) {
	if t.list.len() == pieceLen {
		full := t.piece
		t.older, t.piece = append(t.older, &full), piece{}
	}
	t.list.append(it)
	t.n++
	if t.sales != nil && it.isSale() {
		*t.sales = append(*t.sales, *it)
	}
}

// find is the piece that an event belongs into which does not follow all others.
func (t *tail) find(it *item) int {
	return sort.Search(t.pieces(), func(k int) bool {
		last := &t.at(k).list.last
		return it.Time < last.time || it.Time == last.time && it.Offset < last.offset
	})
}

// place puts an event into a piece, which may become two.
func (t *tail) place(k int, it *item) {
	q := t.at(k)
	items := q.list.items()
	i := sort.Search(len(items), func(i int) bool { return it.before(&items[i]) })
	items = slices.Insert(items, i, *it)
	t.n++
	q.sales = nil
	if len(items) < 2*pieceLen {
		q.list.replace(items)
		return
	}
	// The newest piece stays where it is, as the second half.
	first := &piece{from: q.from}
	first.list.replace(items[:pieceLen])
	q.list.replace(items[pieceLen:])
	q.from, q.was = nil, nil
	t.older = slices.Insert(t.older, k, first)
	if t.resold > 0 {
		t.resold++
	}
}

// split cuts what was read as one piece.
func (t *tail) split() {
	t.n = t.list.len()
	if t.n < 2*pieceLen {
		return
	}
	items := t.list.items()
	t.piece, t.n = piece{}, 0
	for i := range items {
		t.append(&items[i])
	}
}

// whole is all events in one list.
func (t *tail) whole() *list {
	if len(t.older) == 0 {
		return &t.list
	}
	var l list
	for it := range t.all() {
		l.append(it)
	}
	return &l
}

// passed folds the pieces away that are older than the horizon as a whole, all but
// the newest one.
func (q *Profile) passed(horizon int64, p *Params) {
	t := q.tail
	for len(t.older) > 0 && t.older[0].list.last.time < horizon {
		t.push(0)
		t.push(1)
		first, next := t.older[0], t.at(1)
		if next.from != nil {
			t.base, next.from = *next.from, nil
		} else {
			for it := range first.list.all() {
				t.base.step(it, q.facts, p)
			}
		}
		q.unindex(first.list.ids)
		t.n -= first.list.len()
		t.older[0] = nil
		t.older = t.older[1:]
		t.resold = max(0, t.resold-1)
	}
	if len(t.older) == 0 {
		t.older = nil
	}
}
