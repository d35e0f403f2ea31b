package identity

import (
	"container/heap"
	"fmt"
	"slices"

	"github.com/microseg/microseg/event"
)

// What one device may keep is bounded (docs/adr/0022), since whoever has the public key
// may send for it. All of it is decided at an event, by the events before it and the
// data clock, so that a replay, a restart and other shards decide the same.

// beyond reports whether an event is older than what its device has folded early: then
// it is none of a session, and in words why it is too old for anything; empty: it is not.
func (s *Shard) beyond(d *device, e *event.Event, late bool) (none bool, dead string) {
	h := d.remembered()
	switch {
	case h == nil || !s.session.Semantics.Has(5) || e.Time >= max(h.folded, h.unsure):
		return late, ""
	case !s.session.Patient(e.Kind):
		if e.Time >= h.folded {
			return late, ""
		}
	case e.Time >= h.unsure:
		return late || e.Time < h.folded, ""
	}
	return late, fmt.Sprintf("its device had more than %d events that late ones could change, and the older ones have been folded (state.max_pending)", s.p.MaxPending)
}

// bound folds the oldest events of a device early that has too many.
func (s *Shard) bound(q *Partition, d *device) {
	if s.p.MaxPending == 0 || !s.session.Semantics.Has(5) {
		return
	}
	p := s.session
	if t, ok := d.Bound(q.Clock-p.Lateness, s.p.MaxPending, p); ok {
		h := d.told()
		h.folded = max(h.folded, t)
	}
	if t, ok := d.BoundIDs(q.Clock-max(p.Lateness, p.Long), s.p.MaxPending); ok {
		h := d.told()
		h.unsure = max(h.unsure, t)
	}
}

// maxEpochs is how many earlier epochs of a device the shard keeps, for the rows of
// their sessions and for proofs. Twice maxClaims: what waits for a proof goes last.
const maxEpochs = 64

// limitEpochs lets the oldest epochs of a device go that are too many: their sessions
// are over, since nothing is added to an earlier epoch.
func (s *Shard) limitEpochs(id string, offset int64, out *Output) {
	for len(s.past[id]) > maxEpochs && s.session.Semantics.Has(5) {
		all := s.past[id]
		i := max(0, slices.IndexFunc(all, func(o *device) bool { return !s.waits(o) }))
		o := all[i]
		if o.claims() {
			s.unname(o, offset)
		}
		if f := o.State().Fold; f != nil && !o.closed {
			out.Sessions = append(out.Sessions, s.row(o, cloneFold(f), false))
		}
		o.closed, o.dirty = true, false
		if _, q := s.homeOf(o); q != nil {
			heap.Remove(&q.agenda, int(o.place))
		}
		o.queued = 0
		s.leave(o)
	}
}
