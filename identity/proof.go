package identity

import (
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// proof is how well it is known that a device is the user's whom an epoch of it
// names (docs/adr/0020). Epochs begin and end as if every claim were true; what
// differs is whose they are. A proof is of a pair of a device and a user.
type proof uint8

const (
	claimed proof = iota // somebody with the public key has said so: the epoch is the device's own
	legacy               // it is from before proofs, and believed until Batch.LegacyUntil
	proven
	takenBack // of snapshots alone: it was the user's until an unlink (link.left)
)

// former is a user of an earlier epoch, whose person still has or had vectors of
// the device, and how well the pair is known.
type former struct {
	user  string
	proof proof
}

// owner is whose an epoch is, or who is claimed to be on it; at most one of both.
type owner struct{ user, claimed string }

// owner is whose the epoch is.
func (d *device) owner() (o owner) {
	if o.user = d.userID(); o.user == "" {
		o.claimed = d.named()
	}
	return o
}

// named is the user whom the epoch names, proven or claimed.
func (d *device) named() string {
	if d == nil || d.link == nil {
		return ""
	}
	return d.link.user
}

// claims reports whether the epoch names a user without a proof.
func (d *device) claims() bool { return d.named() != "" && d.link.proof == claimed && !d.isGap() }

// unname lets the epoch name nobody, as of an offset.
func (s *Shard) unname(d *device, offset int64) {
	d.link.user, d.offset = "", max(d.offset, offset)
	if d.State().Fold != nil && !d.closed {
		s.wait(d) // its row names nobody now
	}
}

// remember notes that a user's person has or had vectors of the device.
func (s *Shard) remember(id, user string, p proof) {
	if user == "" {
		return
	}
	for i := range s.former[id] {
		if f := &s.former[id][i]; f.user == user {
			f.proof = max(f.proof, p)
			return
		}
	}
	s.former[id] = append(s.former[id], former{strings.Clone(user), p})
}

// distrust forgets how well a pair was known: the link was taken back.
func (s *Shard) distrust(id, user string) {
	s.remember(id, user, claimed)
	for i := range s.former[id] {
		if f := &s.former[id][i]; f.user == user {
			f.proof = claimed
		}
	}
}

// known is how well the pair of the device and a user is known so far.
func (s *Shard) known(d *device, user string) (p proof) {
	if d.named() == user {
		p = d.link.proof
	}
	for _, f := range s.former[d.id] {
		if f.user == user {
			p = max(p, f.proof)
		}
	}
	return p
}

// proofOf is how well the pair that a record states is known with it.
func (s *Shard) proofOf(q *Partition, d *device, e *event.Event) proof {
	p := s.known(d, e.User)
	switch {
	case isNameless(e.User): // it never was more than a claim
	case e.Offset <= q.older || e.Trust == event.Unchecked:
		if !s.legacyOver(q) {
			p = max(p, legacy)
		}
	case e.Trust.Verified():
		p = proven
	}
	return p
}

// legacyOver reports whether links from before proofs are believed no longer.
func (s *Shard) legacyOver(q *Partition) bool { return s.legacyUntil > 0 && q.Clock >= s.legacyUntil }

// claim lets an epoch name a user without a proof: the present one with all it did
// before where it names nobody yet, else a new one. That shows nobody anything: the
// person stays the device.
func (s *Shard) claim(q *Partition, d *device, e *event.Event, out *Output) *device {
	out.Claims++
	if d.named() != "" || d.isShared() || s.onward(d, e) {
		s.retire(d, e, e.Time, out)
		d = s.open(q, d, e.Offset, out)
		out.Opened(d.id)
	}
	d.linkTo(e.User, claimed)
	return d
}

// retire ends the person that is the device, before another epoch begins.
func (s *Shard) retire(d *device, e *event.Event, t int64, out *Output) {
	if d.userID() == "" && d.Last > 0 {
		d.offset = e.Offset
		s.vectorOf(d, t)
		s.vector.Retract, s.vector.Former = true, d.claims() && d.named() != e.User
		out.Vector(&s.vector, e)
	}
}

// prove makes the earlier epochs of the device that name the user the user's, as if
// the proof had always been there. The vector of the present one follows, and only
// then is the user decided.
func (s *Shard) prove(q *Partition, d *device, p proof, e *event.Event, out *Output) {
	for i := range s.former[d.id] {
		if f := &s.former[d.id][i]; f.user == e.User {
			f.proof = max(f.proof, p)
		}
	}
	for _, o := range s.past[d.id] {
		if o.named() != e.User || o.link.proof >= p {
			continue
		}
		was := o.link.proof
		if was == claimed && q.Clock >= o.seen()+s.p.Retention {
			continue // forgotten, whether or not the agenda has got there
		}
		if was == claimed {
			s.close(o, s.now(q, d, e), out) // what is over keeps its name
		}
		if o.link.proof = p; was != claimed {
			continue
		}
		out.Proven++
		if o.offset = e.Offset; o.State().Fold != nil && !o.closed {
			s.wait(o) // its row names another person now
		}
		s.vectorOf(o, e.Time)
		s.vector.Former = true
		out.Vector(&s.vector, e)
		s.schedule(q, o)
	}
}

// maxClaims bounds how many earlier epochs of a device wait for a proof. Who claims
// to be more users than that loses the oldest claim: what was done then stays the
// device's.
const maxClaims = 32

// limitClaims lets the oldest claims of a device go that are too many.
func (s *Shard) limitClaims(q *Partition, id string, offset int64, out *Output) {
	var claims []*device
	for _, o := range s.past[id] {
		if o.claims() {
			claims = append(claims, o)
		}
	}
	for ; len(claims) > maxClaims; claims = claims[1:] {
		if s.session.Semantics.Has(5) {
			s.close(claims[0], q.Clock, out) // what is over keeps its name
		}
		s.unname(claims[0], offset)
		s.schedule(q, claims[0])
	}
}

// unclaim takes the user's name out of all epochs of the device that are not proven
// to be the user's; sessions that are over keep it.
func (s *Shard) unclaim(q *Partition, d *device, e *event.Event, out *Output) {
	for _, o := range s.past[d.id] {
		if o.isNamed(e.User) && o.link.proof < proven {
			s.close(o, s.now(q, d, e), out)
			s.unname(o, e.Offset)
			s.schedule(q, o)
		}
	}
	if d.isNamed(e.User) && d.claims() {
		s.close(d, s.now(q, d, e), out)
		s.unname(d, e.Offset)
	}
}

// disclaim applies that a user was deleted: the device, which was never proven to be
// the user's, does not name the user any more, and nothing says that it did. What it
// did stays its own.
func (s *Shard) disclaim(q *Partition, e *event.Event, out *Output) {
	q.Counts.Read++
	q.Counts.Good++
	out.Compact = true
	s.unnameClaims(q, e, out)
	theirs := func(f former) bool { return f.user == e.User && f.proof == claimed }
	if s.devices[e.Device].userID() == e.User || !slices.ContainsFunc(s.former[e.Device], theirs) {
		return
	}
	if s.former[e.Device] = slices.DeleteFunc(s.former[e.Device], theirs); len(s.former[e.Device]) == 0 {
		delete(s.former, e.Device)
	}
	s.vector = session.Vector{Device: e.Device, User: e.User, Version: s.versionAt(e.Offset), Retract: true, Erased: true, At: max(s.now(q, s.devices[e.Device], e), s.settled)}
	out.Vector(&s.vector, e)
}

// unnameClaims lets no epoch of the device claim to be the user's, of those that the
// retention has hidden, too. What is over by the data clock says so first, under the name,
// whether or not time has passed in the shard to say it already: who deletes the user takes
// the name from rows.
func (s *Shard) unnameClaims(q *Partition, e *event.Event, out *Output) {
	for _, d := range s.epochs(e.Device) {
		if d.claims() && d.isNamed(e.User) {
			if s.session.Semantics.Has(6) {
				s.close(d, q.Clock, out)
			}
			s.unname(d, e.Offset)
			_, home := s.homeOf(d)
			s.schedule(home, d)
		}
	}
}
