package identity

import "github.com/microseg/microseg/session"

// SessionRow is a session as it is now, or the tombstone of an absorbed one.
type SessionRow struct {
	Device  string
	Person  string
	Claimed string // the userId that was stated without a proof, or what stands for it
	Epoch   int64
	Start   int64
	Fold    *session.Fold // nil for a tombstone
	Open    bool
	Version uint64
}

// Claim is the userId that was stated without a proof; not that of a user who was deleted.
func (r *SessionRow) Claim() string {
	if isNameless(r.Claimed) {
		return ""
	}
	return r.Claimed
}

// RowVersion makes one ordered number of a version: 44 bits of offset, 12 of revision.
func RowVersion(v session.Version) uint64 {
	return uint64(v.Offset)&(1<<44-1)<<12 | uint64(v.Revision)&(1<<12-1)
}

// rows makes the rows of what an event changed behind the open session, which
// gets its own when it is due. A session that was over before the event, at t,
// is that of the owner before it.
func (s *Shard) rows(d *device, c session.Change, before owner, t int64, out *Output) {
	for _, f := range c.Closed {
		r := s.row(d, f, false)
		if f.End+s.session.Gap <= t {
			if d.closed && s.session.Semantics.Has(2) { // that was said, maybe before an unlink
				continue
			}
			r.Person, r.Claimed = session.PersonID(d.id, before.user), before.claimed
		}
		out.Sessions = append(out.Sessions, r)
	}
	for _, start := range c.Absorbed {
		r := s.row(d, nil, false)
		r.Start = start
		out.Sessions = append(out.Sessions, r)
	}
	d.closed = false
	s.wait(d)
}

// renamed makes the row of the device's session after an event that is none of a
// session has changed whose the epoch is. What is over as of the data clock is that of
// the owner before, whether or not time has passed in the shard to say so already.
func (s *Shard) renamed(q *Partition, d *device, before owner, out *Output) {
	f := d.State().Fold
	switch {
	case f == nil || d.closed || before == d.owner():
	case s.session.Semantics.Has(5) && q.Clock >= f.End+s.session.Gap:
		r := s.row(d, cloneFold(f), false)
		r.Person, r.Claimed = session.PersonID(d.id, before.user), before.claimed
		out.Sessions = append(out.Sessions, r)
		d.closed, d.dirty = true, false
	default:
		s.wait(d) // its row names another person now
	}
}

// wait lets the row of the device's open session wait until it is due.
func (s *Shard) wait(d *device) {
	if !d.dirty {
		d.dirty = true
		s.dirty = append(s.dirty, dirty{d, s.emitted})
	}
}

func (s *Shard) row(d *device, f *session.Fold, open bool) SessionRow {
	r := SessionRow{Device: d.id, Person: session.PersonID(d.id, d.userID()), Claimed: d.owner().claimed, Epoch: d.epoch, Fold: f,
		Open: open, Version: RowVersion(s.version(d))<<1 | 1}
	if f != nil {
		r.Start = f.Start
	}
	if open {
		r.Version-- // the row that closes a session comes after its open one at the same offset
	}
	return r
}

// dirty is a device whose open session has changed since its last row, with the
// wall clock (µs) of the batch that changed it first.
type dirty struct {
	device *device
	at     int64
}

// flush makes the rows of the open sessions that have waited since due (µs).
func (s *Shard) flush(due int64, out *Output) {
	n := 0
	for ; n < len(s.dirty) && s.dirty[n].at <= due; n++ {
		d := s.dirty[n].device
		if d.dirty && d.State().Fold != nil {
			out.Sessions = append(out.Sessions, s.row(d, cloneFold(d.State().Fold), true))
		}
		d.dirty = false
		s.dirty[n].device = nil
	}
	if s.dirty = s.dirty[n:]; len(s.dirty) == 0 {
		s.dirty = nil // lets go of a burst's memory
	}
}

// cloneFold is shallow: rows are encoded before the next batch changes the fold's slices.
func cloneFold(f *session.Fold) *session.Fold { c := *f; return &c }
