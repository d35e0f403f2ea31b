package identity

import (
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// Links from before proofs are believed until a time that the operator states: then
// they are claims. It travels with the batches (Batch.LegacyUntil), so that another
// value holds from a batch on, and what was decided before is decided so again.

// endedRevision comes behind any vector of the same offset.
const endedRevision = 2

// isLegacy reports whether the device has links from before proofs, in any epoch.
func (s *Shard) isLegacy(d *device) bool {
	if d.past {
		return false
	}
	if d.named() != "" && d.link.proof == legacy {
		return true
	}
	return slices.ContainsFunc(s.former[d.id], func(f former) bool { return f.proof == legacy })
}

// waits reports whether a proof may come for an epoch that is over: it is a claim, or
// will be one.
func (s *Shard) waits(d *device) bool {
	return d.claims() || s.legacyUntil > 0 && d.named() != "" && d.link.proof == legacy
}

// setLegacyUntil takes another end of links from before proofs.
func (s *Shard) setLegacyUntil(t int64) {
	if t == s.legacyUntil {
		return
	}
	s.legacyUntil = t
	for _, q := range s.parts {
		for _, d := range slices.Clone(q.agenda) {
			if t > 0 && s.isLegacy(d) {
				s.keep(d)
				s.schedule(q, d)
			}
		}
	}
}

// endsLegacy is when the agenda must look at the device for the end of its legacy
// links, which the data clock decides; ok is false where it has none.
func (s *Shard) endsLegacy(q *Partition, d *device) (t int64, ok bool) {
	switch {
	case s.legacyUntil == 0 || !s.isLegacy(d):
		return 0, false
	case s.legacyUntil > q.Time || q.moved && q.Clock >= s.legacyUntil:
		return s.legacyUntil, true
	}
	return q.Time + refoldPause, true
}

// endLegacyIdly does what endLegacy does for a device of which nothing comes, with
// the last record of its partition. That must be one of this batch: a user's shard
// takes nothing that is of records which it has.
func (s *Shard) endLegacyIdly(id int32, q *Partition, d *device, out *Output) {
	if !q.moved || d.past || !s.legacyOver(q) || !s.isLegacy(d) {
		return
	}
	s.keepAll(d.id)
	// Nothing has waited for it in the log.
	s.endLegacy(q, d, &event.Event{Device: d.id, Partition: id, Offset: q.Offset, Append: s.emitted / 1000, Ingest: -1}, endedRevision, out)
}

// endLegacy makes claims of the device's links from before proofs, once their time
// is over: the users lose it in all of its epochs, and it is a person of its own
// again. e is where that happens; what it proves itself goes on.
func (s *Shard) endLegacy(q *Partition, d *device, e *event.Event, revision uint32, out *Output) {
	if d == nil || !s.legacyOver(q) || !s.isLegacy(d) {
		return
	}
	proven := ""
	if e.Offset > q.older && e.Trust != event.Unchecked && e.Trust.Verified() && !e.Kind.Control() {
		proven = e.User
	}
	d.offset = max(d.offset, e.Offset)
	now := s.now(q, d, e)
	t := max(now, s.settled)
	lose := func(user string) {
		v := s.versionAt(d.offset)
		v.Revision = revision
		s.vector = session.Vector{Device: d.id, User: user, Version: v, Retract: true, At: t}
		out.Vector(&s.vector, e)
	}
	present := d.userID()
	for i := range s.former[d.id] {
		if f := &s.former[d.id][i]; f.proof == legacy && f.user != proven {
			f.proof = claimed
			lose(f.user)
			if f.user == present {
				present = ""
			}
		}
	}
	for _, o := range s.past[d.id] {
		if o.named() != "" && o.named() != proven && o.link.proof == legacy {
			o.link.proof = claimed
		}
	}
	if d.named() == "" || d.named() == proven || d.link.proof != legacy {
		s.rerank(q, d)
		return
	}
	s.close(d, now, out) // what is over keeps its name
	if d.link.proof = claimed; present != "" {
		lose(present)
		s.remember(d.id, present, claimed) // its person keeps that the device left
	}
	s.rerank(q, d)
	if d.State().Fold != nil && !d.closed {
		s.wait(d) // its row names another person now
	}
	if d.Last == 0 {
		return
	}
	s.vectorOf(d, t)
	s.vector.Freed = true
	out.Vector(&s.vector, e)
}
