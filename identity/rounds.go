package identity

import (
	"math"

	"github.com/microseg/microseg/event"
)

// run is what is left of a batch's events of one partition.
type run struct {
	of     *Range
	parts  [][]event.Event // in the order of the offsets
	behind int64           // offset up to which they are applied already
	again  map[Place]bool  // of Shard.copies: they are not for this shard
}

// next is the next event, nil at the end.
func (r *run) next() *event.Event {
	for len(r.parts) > 0 {
		if p := r.parts[0]; len(p) > 0 && p[0].Offset > r.behind && !r.again[Place{p[0].Partition, p[0].Offset}] {
			return &p[0]
		} else if len(p) > 0 {
			r.parts[0] = p[1:]
		} else {
			r.parts = r.parts[1:]
		}
	}
	return nil
}

func (r *run) take() { r.parts[0] = r.parts[0][1:] }

// rounds applies a batch's events refresh tick by refresh tick: those of all
// partitions before a tick, then the passing of time up to it, then those behind
// it. A batch of a backlog covers hours, and who was evaluated at a tick in it must
// be as it was then. Within a partition the order stays that of the offsets.
func (s *Shard) rounds(b *Batch, skip map[int32]int64, again map[Place]bool, out *Output) {
	runs := runsOf(b, skip, again)
	every := s.p.Tick
	last := s.settled - s.settled%every
	for {
		low, left := s.lowest(runs)
		if !left {
			return
		}
		if t := low - low%every; low > 0 && t > last {
			s.at = nil // it is time that passes
			out.Passed(t)
			last = t
		}
		limit, applied := last+every, false
		for i := range b.Ranges {
			r := runs[b.Ranges[i].Partition]
			for r != nil {
				e := r.next()
				if e == nil || e.Time > limit && s.moves(e) > limit {
					break
				}
				s.at = e
				s.event(e, out)
				r.take()
				applied = true
			}
		}
		if !applied { // a partition that was not read to its end holds time back
			for i := range b.Ranges {
				for r := runs[b.Ranges[i].Partition]; r != nil && r.next() != nil; r.take() {
					s.at = r.next()
					s.event(s.at, out)
				}
			}
			return
		}
	}
}

func runsOf(b *Batch, skip map[int32]int64, again map[Place]bool) map[int32]*run {
	runs := map[int32]*run{}
	for i := range b.Ranges {
		r := &b.Ranges[i]
		runs[r.Partition] = &run{of: r, behind: skip[r.Partition], again: again}
	}
	for from := 0; from < len(b.Events); {
		to := from + 1
		for to < len(b.Events) && b.Events[to].Partition == b.Events[from].Partition {
			to++
		}
		r := runs[b.Events[from].Partition]
		r.parts = append(r.parts, b.Events[from:to])
		from = to
	}
	return runs
}

// lowest is the time up to which events of all partitions are applied, 0 where it
// is unknown; left is false when none is left.
func (s *Shard) lowest(runs map[int32]*run) (low int64, left bool) {
	low = math.MaxInt64
	for id, q := range s.parts {
		var e *event.Event
		idle := false
		if r := runs[id]; r != nil {
			e = r.next()
			idle, _ = s.quiet(q, r.of)
		}
		switch {
		case e != nil:
			low, left = min(low, max(0, s.moves(e)-1)), true // what happens at a tick belongs before it
		case !idle:
			low = min(low, q.holds())
		}
	}
	return low, left
}

// moves is the time to which a partition's next event moves its data clock, or the
// event's own if that is older; 0 for one that moves none, whatever it states.
func (s *Shard) moves(e *event.Event) int64 {
	switch e.Kind {
	case event.KindDelete, event.KindUnlink, event.KindDisclaim, event.KindDeleteUser, event.KindReset, event.KindRebuild:
		return 0
	case event.KindErased:
		return s.behind(e)
	}
	if s.where(e.Device, e.Partition) != e.Partition {
		return 0
	}
	if d := s.devices[e.Device]; d != nil && s.duplicate(d, e.ID) || s.parts[e.Partition].letGo(e) {
		return 0
	}
	return max(0, s.behind(e))
}

// behind is the data clock of the event's partition behind it, but no later than the event.
func (s *Shard) behind(e *event.Event) int64 {
	q := s.parts[e.Partition]
	c := DataClock{q.Clock, q.lead}
	c.Take(e, s.session.Semantics)
	return min(c.Time, e.Time)
}
