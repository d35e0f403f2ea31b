package session

import (
	"cmp"
	"slices"
)

// A device keeps its events until none can come any more that is older than they. How
// many these are is up to whoever sends them, so they have a bound: beyond it the oldest
// ones fold early, and what comes later of the time before is not taken any more. It is
// decided by the events and the data clock at each of them, never by when the agenda
// got to a device.

// over is an epoch that nothing will be added to any more: of its events only the ids
// are kept, by the epoch that follows.
func (q *Profile) over(next *Profile) {
	if q.tail == nil {
		return
	}
	f := next.made()
	for it := range q.tail.all() {
		f.recent = append(f.recent, seen{it.Time, it.ID})
	}
	q.tail = nil
}

// kept is how many events of the device wait for late ones, in all of its epochs.
func (q *Profile) kept() int {
	n := q.Pending()
	if q.facts != nil {
		n += len(q.facts.recent)
	}
	return n
}

// Bound folds the oldest events early where more than most are not older than horizon.
// What is older than before, if ok, must not be added any more.
func (q *Profile) Bound(horizon int64, most int, p *Params) (before int64, ok bool) {
	if q.kept() <= most {
		return 0, false
	}
	q.foldBefore(horizon, p)
	n := q.kept()
	if n <= most {
		return 0, false
	}
	before = q.reach(n-most+most/8) + 1
	q.foldBefore(before, p)
	return before, true
}

// reach is up to which time the n oldest events go.
func (q *Profile) reach(n int) int64 {
	var times []int64
	if q.tail != nil {
		for it := range q.tail.all() {
			if times = append(times, it.Time); len(times) == n {
				break
			}
		}
	}
	if q.facts != nil && len(q.facts.recent) > 0 {
		for _, s := range q.facts.recent {
			times = append(times, s.time)
		}
		slices.Sort(times)
	}
	return times[n-1]
}

// foldBefore folds away what is older.
func (q *Profile) foldBefore(t int64, p *Params) {
	if q.tail != nil {
		q.foldTail(t, p)
	}
	q.facts.forgetRecent(t)
}

// forgetRecent lets the ids of earlier epochs go that are older.
func (f *facts) forgetRecent(t int64) {
	if f == nil || len(f.recent) == 0 {
		return
	}
	f.recent = slices.DeleteFunc(f.recent, func(s seen) bool {
		if s.time < t {
			f.index.remove(s.id)
		}
		return s.time < t
	})
	if len(f.recent) == 0 {
		f.recent = nil
	}
}

// BoundIDs lets the oldest ids of events that may come late go where there are more
// than most that are not older than horizon. Of those kinds what is older than before,
// if ok, must not be added any more: nobody knows whether it was.
func (q *Profile) BoundIDs(horizon int64, most int) (before int64, ok bool) {
	f := q.facts
	if f == nil || len(f.ids) <= most {
		return 0, false
	}
	f.forget(horizon)
	n := len(f.ids)
	if n <= most {
		return 0, false
	}
	slices.SortFunc(f.ids, func(a, b seen) int { return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.id, b.id)) })
	before = f.ids[n-most+most/8-1].time + 1
	f.forget(before)
	return before, true
}

// maxLate is how many late changes of the cart wait for a session; the oldest of more
// are left out. What an order was worth is known without it.
const maxLate = 256

// limitLate leaves the oldest out.
func (f *facts) limitLate(p *Params) {
	if len(f.late) <= maxLate || !p.Semantics.Has(5) {
		return
	}
	oldest := 0
	for i := range f.late {
		if f.late[i].before(&f.late[oldest]) {
			oldest = i
		}
	}
	f.late = slices.Delete(f.late, oldest, oldest+1)
}
