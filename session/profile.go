package session

import (
	"sort"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/signal"
)

// item is the part of an event that the fold reads: what is kept of each event
// until the allowed lateness is over.
type item struct {
	Time, Offset  int64
	ID            uint64
	Page          uint64
	X, Y, Z       float64
	Width, Height uint16
	Kind          event.Kind
	PageType      event.PageType
	Element       uint8
	Device        event.DeviceType
	OS            event.OS
	Network       event.Network
	Flags         event.Flags
}

func newItem(e *event.Event) item {
	return item{Time: e.Time, Offset: e.Offset, ID: e.ID, Page: e.Page, X: e.X, Y: e.Y, Z: e.Z,
		Width: e.Width, Height: e.Height, Kind: e.Kind, PageType: e.PageType, Element: e.Element,
		Device: e.DeviceType, OS: e.OS, Network: e.Network, Flags: e.Flags}
}

func (a *item) before(b *item) bool {
	return a.Time < b.Time || a.Time == b.Time && a.Offset < b.Offset
}

// Profile is the behaviour of one (device, epoch): the events up to a horizon
// folded away, the events behind it as a list, and the fold of both.
//
// An accepted event is never older than the horizon (data clock − allowed
// lateness), so a late one only re-folds the list.
type Profile struct {
	Live, Long signal.Decayed
	Last       int64 // newest event time
	head       State // fold of everything
	base       State // fold of what is behind the horizon; shares head while list is empty
	list       []item
	closed     []*Fold // sessions between base and head, oldest first: closed, but a late event may still bridge them
}

// State is the fold of all events: the newest session and what outlives it.
func (q *Profile) State() *State { return &q.head }

// Pending is the number of events kept for late ones.
func (q *Profile) Pending() int { return len(q.list) }

// Oldest is the event time of the oldest pending event, ok false without one.
func (q *Profile) Oldest() (int64, bool) {
	if len(q.list) == 0 {
		return 0, false
	}
	return q.list[0].Time, true
}

// Duplicate reports whether an event with this id is among those kept. Those
// folded away are older than the allowed lateness and judged late before.
func (q *Profile) Duplicate(id uint64) bool {
	for i := len(q.list) - 1; i >= 0; i-- {
		if q.list[i].ID == id {
			return true
		}
	}
	return false
}

// Change is what an event did to the device's sessions, for the rows.
type Change struct {
	Closed   []*Fold // sessions that are complete or were changed behind the newest one
	Absorbed []int64 // starts of sessions that exist no longer
}

// Add folds an accepted event in; the event must not be a duplicate and not
// older than the horizon of the last Fold away.
func (q *Profile) Add(e *event.Event, p *Params) Change {
	it := newItem(e)
	if w := p.Weigher.Weight(e); w > 0 {
		q.Live = q.Live.Add(w, e.Time, p.HalfLives.Live)
		q.Long = q.Long.Add(w, e.Time, p.HalfLives.Long)
	}
	q.Last = max(q.Last, e.Time)
	if n := len(q.list); n == 0 || q.list[n-1].before(&it) {
		return q.append(it, p)
	}
	return q.insert(it, p)
}

// append is the common case: the event is the newest of the device.
func (q *Profile) append(it item, p *Params) Change {
	if len(q.list) == 0 {
		q.base = q.head.clone()
	}
	q.list = append(q.list, it)
	old := q.head.Fold
	if !q.head.step(&it, p) || old == nil {
		return Change{}
	}
	q.closed = append(q.closed, old)
	return Change{Closed: []*Fold{old}}
}

// insert re-folds the list around a late event and tells what became of the sessions.
func (q *Profile) insert(it item, p *Params) Change {
	i := sort.Search(len(q.list), func(i int) bool { return it.before(&q.list[i]) })
	q.list = append(q.list, item{})
	copy(q.list[i+1:], q.list[i:])
	q.list[i] = it
	before := q.starts()
	q.refold(p)
	c := Change{Closed: append([]*Fold(nil), q.closed...)}
	now := map[int64]bool{}
	for _, s := range q.starts() {
		now[s] = true
	}
	for _, s := range before {
		if !now[s] {
			c.Absorbed = append(c.Absorbed, s)
		}
	}
	return c
}

func (q *Profile) starts() []int64 {
	var s []int64
	for _, f := range q.closed {
		s = append(s, f.Start)
	}
	if q.head.Fold != nil {
		s = append(s, q.head.Fold.Start)
	}
	return s
}

func (q *Profile) refold(p *Params) {
	q.head, q.closed = q.base.clone(), nil
	for i := range q.list {
		old := q.head.Fold
		if q.head.step(&q.list[i], p) && old != nil {
			q.closed = append(q.closed, old)
		}
	}
}

// FoldAway folds the events older than the horizon into the base: no accepted
// event can come before them any more. It reports whether the newest session
// is over for good, in which case it has been dropped from the profile.
func (q *Profile) FoldAway(horizon int64, p *Params) (done bool) {
	n := sort.Search(len(q.list), func(i int) bool { return q.list[i].Time >= horizon })
	if n > 0 {
		for i := range n {
			q.base.step(&q.list[i], p)
		}
		q.list = append(q.list[:0], q.list[n:]...)
	}
	if len(q.list) == 0 {
		q.base, q.list = q.head, nil
	}
	for len(q.closed) > 0 && (len(q.list) == 0 || q.closed[0].End+p.Gap <= horizon) {
		q.closed = q.closed[1:]
	}
	if len(q.closed) == 0 {
		q.closed = nil
	}
	if len(q.list) == 0 && q.head.Fold != nil && q.head.Fold.End+p.Gap <= horizon {
		q.head.Fold = nil
		q.base = q.head
		return true
	}
	return false
}
