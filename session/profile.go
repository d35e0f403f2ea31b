package session

import (
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/signal"
)

// Profile is the behaviour of one (device, epoch): the fold of all its events
// and, until the allowed lateness is over, what is needed to fold late ones in.
//
// An accepted event is never older than the horizon (data clock − allowed
// lateness), so a late one only re-folds what is behind it.
type Profile struct {
	Live, Long signal.Decayed
	Last       int64 // newest event time
	// PersonState is what the person stage keeps of a person that is this one device;
	// nil elsewhere. It is not part of the profile's snapshot.
	PersonState any
	head        State  // fold of everything that was not too late for a session
	tail        *tail  // nil when no late event can come any more
	facts       *facts // nil where there is nothing to say
	presence
	// Several: its device has had more than one event, in whichever epoch. Its owner sets
	// and keeps it.
	Several bool
}

// State is the fold of all events: the newest session and what outlives it.
func (q *Profile) State() *State { return &q.head }

// Pending is the number of events kept for late ones.
func (q *Profile) Pending() int {
	if q.tail == nil {
		return 0
	}
	return q.tail.n
}

// Oldest is the event time of the oldest pending event, ok false without one.
func (q *Profile) Oldest() (t int64, ok bool) {
	if q.tail == nil {
		return 0, false
	}
	return q.tail.oldest(), true
}

// Change is what an event did to the device's sessions, for the rows.
type Change struct {
	Closed   []*Fold // sessions that are complete or were changed behind the newest one
	Absorbed []int64 // starts of sessions that exist no longer
}

// Add folds an accepted event in; the event must not be a duplicate and not
// older than the horizon of the last FoldAway.
func (q *Profile) Add(e *event.Event, p *Params) Change {
	it := q.itemOf(e, p)
	if !p.Semantics.Has(2) {
		it.Flags |= flagOlder
	}
	q.weigh(e, p)
	q.note(&it, p)
	if q.tail == nil {
		q.tail = &tail{base: q.head.clone()}
	}
	q.index().add(it.ID)
	if q.tail.follows(&it) {
		return q.append(&it, p)
	}
	return q.insert(&it, p)
}

// weigh takes in what an event says of the person whatever came before it.
func (q *Profile) weigh(e *event.Event, p *Params) {
	was := q.Presence()
	if w := p.Weigher.Weight(e); w > 0 {
		q.Live = q.Live.Add(w, e.Time, p.HalfLives.Live)
		q.Long = q.Long.Add(w, e.Time, p.HalfLives.Long)
	}
	q.Last = max(q.Last, e.Time)
	q.meet(e, was, p)
}

// append is the common case: the event is the newest of the device.
func (q *Profile) append(it *item, p *Params) Change {
	q.tail.append(it, p)
	old := q.head.Fold
	if !q.head.step(it, q.facts, p) || old == nil {
		return Change{}
	}
	q.tail.closed = append(q.tail.closed, old)
	return Change{Closed: []*Fold{old}}
}

// FoldAway folds the events older than the horizon away: no accepted event can
// come before them any more. A session that ended by a session gap before both
// the horizon and settled is dropped; settled is the event time up to which
// nobody looks at the profile again.
func (q *Profile) FoldAway(horizon, settled int64, p *Params) {
	if q.tail != nil {
		q.foldTail(horizon, p)
	}
	if f := q.head.Fold; q.tail == nil && f != nil && f.End+p.Gap <= min(horizon, settled) {
		q.head.Fold = nil
	}
	q.absorb()
	q.facts.forgetRecent(horizon)
	q.facts.forget(horizon + p.Lateness - max(p.Lateness, p.Long))
}

func (q *Profile) foldTail(horizon int64, p *Params) {
	t := q.tail
	if t.newest().time < horizon { // then all are older, and the head is their fold
		for l := range t.lists() {
			q.unindex(l.ids)
		}
		q.tail = nil
		return
	}
	if t.forest != nil {
		for t.forest.trees[0].first().last.time < horizon {
			q.passed(t.forest.trees[0].first(), horizon, p)
			t.forest.dropFirst()
		}
		l := t.forest.trees[0].first()
		if n := q.passed(l, horizon, p); n > 0 {
			l.drop(n)
			t.forest.trees[0].touchFirst()
		}
	} else {
		t.list.drop(q.passed(&t.list, horizon, p))
	}
	for len(t.closed) > 0 && t.closed[0].End+p.Gap <= horizon {
		t.closed = t.closed[1:]
	}
	if len(t.closed) == 0 {
		t.closed = nil
	}
}

// passed folds those events of the first list away that are older than the horizon, but
// leaves them in the list, and says how many.
func (q *Profile) passed(l *list, horizon int64, p *Params) (n int) {
	for it := range l.all() {
		if it.Time >= horizon {
			break
		}
		q.tail.base.step(it, q.facts, p)
		n++
	}
	q.unindex(l.ids[:n])
	q.tail.n -= n
	return n
}
