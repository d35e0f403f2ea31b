package segment

import (
	"container/heap"

	"github.com/microseg/microseg/session"
)

// wake is an entry of the wake heap. A person has one live entry, that whose
// time is person.queued; it may be earlier than the wake-up, never later, so
// that an event, which mostly moves the wake-up back, costs nothing here.
type wake struct {
	at     int64
	person *person
}

type wakes []wake

func (h wakes) Len() int { return len(h) }
func (h wakes) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	// A shard that was read from a snapshot must take them in the same order.
	p, q := h[i].person, h[j].person
	return p.id < q.id || p.id == q.id && p.user == nil && q.user != nil
}
func (h wakes) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *wakes) Push(x any)   { *h = append(*h, x.(wake)) }
func (h *wakes) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = wake{}
	*h = old[:len(old)-1]
	if n := len(*h); cap(*h) > 1024 && n < cap(*h)/4 {
		*h = append(make(wakes, 0, 2*n), *h...) // most visitors have gone idle
	}
	return w
}

func (s *Shard) queue(q *person) {
	if q.wake == never {
		return // an idle local person, which its device's retention will end
	}
	if q.queued == 0 || q.wake < q.queued {
		q.queued = q.wake
		heap.Push(&s.wakes, wake{q.wake, q})
	}
}

// wakeUntil fires the person's wake-ups up to and including t. It reports
// whether the person is still there: the retention may have taken a user.
func (s *Shard) wakeUntil(q *person, t int64, out *Effects) bool {
	for q.wake <= t && q.queued != 0 {
		if q.user != nil && q.wake >= q.last()+s.p.Retention {
			s.drop(q, q.wake, CauseRetention, nobody, out)
			return false
		}
		s.evaluate(q, q.wake, CauseTime, -1, -1, out)
	}
	return true
}

// reached is up to when a user's wake-ups may fire before a vector as of t: not beyond
// what is known of all of its devices. An order on another one may be on its way, and
// its cart would be abandoned by somebody who has bought.
func (s *Shard) reached(q *person, t int64) int64 {
	if s.Semantics.Has(4) {
		t = min(t, s.Sure)
	}
	return max(q.evaluated, t)
}

// Gone drops the person that is a device, which was forgotten at t by the
// retention or by a deletion; there is none where the device belongs to a user.
func (s *Shard) Gone(p *session.Profile, t int64, cause Cause, out *Effects) {
	if q, ok := p.PersonState.(*person); ok {
		t = max(t, q.evaluated)
		s.wakeUntil(q, t, out)
		s.drop(q, t, cause, nobody, out)
	}
}

// Evicted drops the person that is a device which was let go at t, at a record.
func (s *Shard) Evicted(p *session.Profile, t int64, cause Cause, offset int64, partition int32, out *Effects) {
	if q, ok := p.PersonState.(*person); ok {
		t = max(t, q.evaluated)
		s.wakeUntil(q, t, out)
		s.drop(q, t, cause, place{offset, partition}, out)
	}
}

// Before fires the wake-ups of the person that is a device, before an event at
// t changes its profile.
func (s *Shard) Before(p *session.Profile, t int64, out *Effects) {
	if q, ok := p.PersonState.(*person); ok {
		s.wakeUntil(q, max(q.evaluated, t), out)
	}
}

// Advance moves the shard's event time to w: wake-ups that are due fire in the
// order of their times, segments are weighed at each refresh tick on the way, and
// the audience of every minute that is over is counted.
func (s *Shard) Advance(w int64, out *Effects) {
	if w <= s.Now {
		return
	}
	if !s.Semantics.Has(2) {
		refresh := w/s.p.RefreshMS > s.Now/s.p.RefreshMS
		s.fire(w, out)
		if s.Now = w; refresh {
			s.weigh(w, out)
		}
	} else {
		s.ticks(w, out)
		s.fire(w, out)
		s.Now = w
	}
	out.Counts = s.audience.until(w, out.Counts)
}

// fire fires the wake-ups up to and including w.
func (s *Shard) fire(w int64, out *Effects) {
	for len(s.wakes) > 0 && s.wakes[0].at <= w {
		k := heap.Pop(&s.wakes).(wake)
		q := k.person
		if q.queued != k.at {
			continue // superseded by an earlier entry
		}
		s.keep(q)
		q.queued = 0
		switch {
		case q.gone:
		case q.wake > k.at:
			s.queue(q)
		case q.user != nil && q.wake >= q.last()+s.p.Retention:
			s.drop(q, q.wake, CauseRetention, nobody, out)
		default:
			s.evaluate(q, q.wake, CauseTime, -1, -1, out)
		}
	}
}
