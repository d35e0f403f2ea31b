package identity

import (
	"maps"
	"slices"

	"github.com/microseg/microseg/event"
)

// admit checks that the ranges continue the state. It returns the first gap as
// a *GapError, and leaves no trace: what a replay does not see must not matter.
func (s *Shard) admit(ranges []Range) error {
	for _, r := range ranges {
		if at := s.Offset(r.Partition); r.First > at+1 && r.Prev > at {
			return &GapError{Partition: r.Partition, First: at + 1, Last: r.Prev}
		}
	}
	return nil
}

// setSemantics makes sessions fold as they do by n.
func (s *Shard) setSemantics(n event.Semantics) {
	s.session = &s.p.Session
	if !n.Has(event.NewestSemantics) {
		s.older = s.p.Session
		s.older.Semantics = n
		s.session = &s.older
	}
}

// Apply folds a batch in. Records at or below the shard's offset are skipped,
// so that retries, replays and restores are safe. A missing range is a
// *GapError, and then nothing has been applied.
func (s *Shard) Apply(b *Batch, out *Output) error {
	if err := s.admit(b.Ranges); err != nil {
		return err
	}
	s.emitted, s.rebuilds = b.Emitted, b.Rebuilds
	s.setSemantics(b.Semantics)
	s.limits = b.Limits
	skip := make(map[int32]int64, len(b.Ranges))
	for i := range b.Ranges {
		skip[b.Ranges[i].Partition] = s.Partition(b.Ranges[i].Partition).Offset
	}
	s.trust(b)
	s.leaveOut(b, skip)
	again := s.copies(b, skip)
	if s.p.Tick > 0 && b.Semantics.Has(2) {
		s.rounds(b, skip, again, out)
	} else {
		for i := range b.Events {
			if e := &b.Events[i]; e.Offset > skip[e.Partition] && !again[Place{e.Partition, e.Offset}] {
				s.at = e
				s.event(e, out)
			}
		}
	}
	s.at = nil
	for i := range b.Dead {
		if d := &b.Dead[i]; d.Offset > skip[d.Partition] && !again[Place{d.Partition, d.Offset}] {
			s.dead(s.parts[d.Partition], *d, out)
		}
	}
	for i := range b.Ranges {
		r := &b.Ranges[i]
		q := s.parts[r.Partition]
		q.moved = r.Last > q.Offset
		q.Offset = max(q.Offset, r.Last)
		q.pace.keep(q.Newest(), b.Emitted/1000)
		idle, since := s.quiet(q, r)
		if q.idle = idle; q.Clock > 0 {
			q.Time, q.ahead = max(q.Time, q.Clock+since), q.lead.time
		} else if q.lead.time > 0 {
			q.ahead = max(q.ahead, q.lead.time+since)
		}
	}
	s.pass(out)
	if b.Due > 0 {
		s.flush(b.Due, out)
	}
	return nil
}

// trust notes what the batch says of proofs.
func (s *Shard) trust(b *Batch) {
	if b.Semantics.Has(3) {
		s.setLegacyUntil(b.LegacyUntil)
		return
	}
	for i := range b.Ranges {
		q := s.parts[b.Ranges[i].Partition]
		q.older = max(q.older, b.Ranges[i].Last)
	}
}

// Older is the offset up to which records of the partition were applied by programs
// that knew no trusts, -1 where there are none.
func (s *Shard) Older(partition int32) int64 {
	if q := s.parts[partition]; q != nil {
		return q.older
	}
	return -1
}

// At is the record that is being applied; ok is false between records.
func (s *Shard) At() (p Place, ok bool) {
	if s.at == nil {
		return p, false
	}
	return Place{s.at.Partition, s.at.Offset}, true
}

// pass lets event time pass after the events of a batch.
func (s *Shard) pass(out *Output) {
	w, ok := s.Watermark()
	if ok {
		out.Passed(w)
		if w > s.settled {
			s.settled = w
			s.release()
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.parts)) { // vectors may come of it, in this order
		q := s.parts[id]
		if ok && q.idle {
			q.Time = max(q.Time, w)
		}
		s.tick(id, q, out)
	}
}

func (s *Shard) dead(q *Partition, d DeadLetter, out *Output) {
	q.Counts.Read++
	q.Counts.Dead++
	out.Dead = append(out.Dead, d)
}

func (s *Shard) event(e *event.Event, out *Output) {
	q := s.parts[e.Partition]
	if e.Kind != event.KindErased && s.stray(q, e, out) {
		return
	}
	if s.owing {
		defer s.oweUnknown(q, e, out)
	}
	s.makeRoom(q, 0, e, out)
	s.keepAll(e.Device)
	s.endLegacy(q, s.devices[e.Device], e, 0, out)
	switch e.Kind {
	case event.KindDelete:
		s.erase(q, e, out)
		return
	case event.KindUnlink:
		s.unlink(q, e, out)
		return
	case event.KindDisclaim:
		s.disclaim(q, e, out)
		return
	case event.KindDeleteUser:
		s.eraseUser(q, e, out)
		return
	case event.KindReset:
		s.reset(q, e, out)
		return
	case event.KindRebuild:
		s.rebuild(q, e, out)
		return
	case event.KindErased:
		// Time has passed as when the event was accepted: what is late of others
		// must not depend on who was deleted later.
		q.Counts.Read++
		q.Counts.Dead++
		s.take(q, e)
		if e.Device != "" {
			s.gap(q, e, out)
		}
		return
	}
	late, dead := s.late(q, e)
	d := s.devices[e.Device]
	if dead == "" {
		dead = s.unknowable(q, d, e)
	}
	if dead != "" {
		s.dead(q, DeadLetter{Partition: e.Partition, Offset: e.Offset, Append: e.Append, Time: e.Time, Device: e.Device,
			Reason: event.Late, Detail: dead, Raw: e.Raw}, out)
		return
	}
	if d != nil && s.duplicate(d, e.ID) || q.letGo(e) {
		q.Counts.Read++
		q.Counts.Duplicate++
		return
	}
	if late, dead = s.beyond(d, e, late); dead != "" {
		s.dead(q, DeadLetter{Partition: e.Partition, Offset: e.Offset, Append: e.Append, Time: e.Time, Device: e.Device,
			Reason: event.TooMany, Detail: dead, Raw: e.Raw}, out)
		return
	}
	s.take(q, e)
	s.endLegacy(q, d, e, 0, out)
	gone := d != nil && q.Clock >= d.seen()+s.p.Retention
	if e.Kind == event.KindAlias {
		known := d
		if gone {
			known = nil
		}
		if why := s.merges(q, known, e); why != "" { // its time has passed all the same, as for KindErased
			s.dead(q, DeadLetter{Partition: e.Partition, Offset: e.Offset, Append: e.Append, Time: e.Time, Device: e.Device, Reason: event.Identity, Detail: why, Raw: e.Raw}, out)
			return
		}
	}
	s.accept(q, d, gone, late, e, out)
}

// accept folds a good event into its device's epoch; gone says that the
// retention has forgotten the device, late that the event is none of a session.
func (s *Shard) accept(q *Partition, d *device, gone, late bool, e *event.Event, out *Output) {
	q.Counts.Read++
	q.Counts.Good++
	switch {
	case gone:
		d = s.forget(q, d, out)
	case d != nil:
		out.Before(&d.Profile, e.Time)
	}
	before := d.owner()
	d = s.link(q, d, e, out)
	d.offset = e.Offset
	d.Several = d.is(markHeard)
	d.set(markHeard, true)
	d.heard = max(d.heard, q.heard(e))
	if late {
		d.AddLate(e, s.session)
		s.renamed(q, d, before, out)
	} else {
		s.rows(d, d.Add(e, s.session), before, e.Time, out)
	}
	s.bound(q, d)
	s.emit(d, e, false, out)
	s.schedule(q, d)
	s.rerank(q, d)
}
