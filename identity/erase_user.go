package identity

import (
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// gapPrefix begins the name of whom an epoch is that was erased: no userId has such a byte.
const gapPrefix = "\xff"

// gapName is how an epoch names a user when the log is read again without it.
func gapName(user string) string { return gapPrefix + HashDevice(user) }

// namelessPrefix begins what stands for a user whose name is gone from the records of a
// device, which only said that it was the user's: no userId has such a byte either. Epochs
// are cut by it as by the name.
const namelessPrefix = "\xfe"

// isNameless reports whether a name stands for one that is gone.
func isNameless(name string) bool { return name != "" && name[0] == namelessPrefix[0] }

// isNamed reports whether the epoch names the user, or what stands for it.
func (d *device) isNamed(user string) bool {
	n := d.named()
	return n == user || isNameless(n) && n[1:] == HashDevice(user)
}

// isGap reports whether the epoch stands for one that was erased.
func (d *device) isGap() bool { n := d.named(); return n != "" && n[0] == gapPrefix[0] }

// eraseUser takes away what a user did on a device that others use, too, as of the
// partition's data clock: the user's epochs go, and the user's name where others are only
// claims. What else was done on the device stays; where the user is on it now, a new
// epoch begins. The ids of the events stay, so that what is sent again is nobody's.
func (s *Shard) eraseUser(q *Partition, e *event.Event, out *Output) {
	q.Counts.Read++
	q.Counts.Good++
	out.Compact = true
	d := s.present(q, e.Device, out)
	s.unnameClaims(q, e, out)
	if d.isUsers(e.User) || d.named() == gapName(e.User) {
		s.endUser(q, d, e, out)
	}
	for _, o := range s.epochs(e.Device) {
		if o.past && o.isUsers(e.User) {
			s.remove(o)
		}
	}
	s.former[e.Device] = slices.DeleteFunc(s.former[e.Device], func(f former) bool { return f.user == e.User })
	if len(s.former[e.Device]) == 0 {
		delete(s.former, e.Device)
	}
	if d := s.devices[e.Device]; d != nil {
		s.rerank(q, d) // it was a user's by a proof
	}
	s.vector = session.Vector{Device: e.Device, User: e.User, Version: s.versionAt(e.Offset), Retract: true, Erased: true, At: max(s.now(q, d, e), s.settled)}
	out.Vector(&s.vector, e)
}

// isUsers reports whether the epoch is the user's: it is linked, or it was until an
// unlink and nobody else came.
func (d *device) isUsers(user string) bool {
	return d.userID() == user || d.wasUsers() && d.link.left == user
}

// wasUsers reports whether the epoch was taken from a user, and is nobody's since.
func (d *device) wasUsers() bool {
	return d != nil && d.link != nil && d.link.user == "" && d.link.left != ""
}

// setProof takes what a snapshot says of the name that was read.
func (d *device) setProof(p proof) {
	if d.link.proof = p; p == takenBack {
		d.link.user, d.link.left, d.link.proof = "", d.link.user, claimed
	}
}

// endUser begins a new epoch, nobody's and empty, behind the present one, which goes.
func (s *Shard) endUser(q *Partition, d *device, e *event.Event, out *Output) {
	now := s.now(q, d, e)
	t := max(now, s.settled)
	if d.userID() == "" && d.Last > 0 {
		out.Before(&d.Profile, t)
		s.retire(d, e, t, out)
	}
	n := s.open(q, d, e.Offset, out)
	n.told().opened = now
	n.heard = max(n.heard, now)
	out.Opened(n.id)
	s.schedule(q, n)
	s.rerank(q, n)
}

// remove takes an earlier epoch out with everything that waits for it.
func (s *Shard) remove(d *device) {
	s.leave(d)
	s.unplace(d)
	d.dirty = false
}

// gap stands for a record of a user's erased epoch when the log is read again. The epoch
// begins where it did, empty, so that the ones behind it have their numbers, and rows
// their keys.
func (s *Shard) gap(q *Partition, e *event.Event, out *Output) {
	if q.Clock-e.Time > max(s.session.Lateness, s.session.Long) {
		return // it was a dead letter
	}
	d := s.present(q, e.Device, out)
	switch {
	case d == nil:
		d = s.newcomer(q, e, 0, out)
	case d.named() == e.User:
	case d.named() != "" || d.isShared() || d.Last > 0:
		s.retire(d, e, e.Time, out)
		d = s.open(q, d, e.Offset, out)
		out.Opened(d.id)
	}
	d.linkTo(e.User, claimed)
	d.Several = d.is(markHeard)
	d.set(markHeard, true)
	d.heard = max(d.heard, q.heard(e))
	h := d.told()
	h.opened = max(h.opened, e.Time)
	d.Remember(e.ID, e.Time)
	s.schedule(q, d)
	s.rerank(q, d)
}
