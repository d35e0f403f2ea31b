package identity

import (
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/session"
)

// maxResets bounds how many resets a device remembers.
const maxResets = 16

// open begins a new epoch of the device at an offset, which names nobody.
func (s *Shard) open(q *Partition, d *device, offset int64, out *Output) *device {
	d.past = true
	s.unrank(q, d)
	s.past[d.id] = append(s.past[d.id], d)
	if s.remember(d.id, d.userID(), proofIn(d)); d.claims() {
		s.limitClaims(q, d.id, offset, out)
	}
	s.limitEpochs(d.id, offset, out)
	n := s.fresh(d.id, offset)
	n.Inherit(&d.Profile)
	n.set(markHeard, d.is(markHeard))
	n.Several, n.heard = d.Several, d.heard
	n.set(markAgain, d.is(markAgain))
	h := d.told()
	h.opened, h.newest = 0, max(h.newest, d.Last)
	n.link = &link{history: h}
	s.devices[n.id] = n
	return n
}

// link finds the epoch that the event belongs to: a userId links an unlinked
// device, and another user's opens a new epoch, so that the first person keeps
// what was theirs. Without a proof it only claims (see proof.go). On a device that
// too many share nobody is linked any more that day: what they do is in an epoch of
// its own, which is nobody's for good.
func (s *Shard) link(q *Partition, d *device, e *event.Event, out *Output) *device {
	if d == nil {
		d = s.newcomer(q, e, 0, out)
	}
	if e.User == "" {
		return d
	}
	p := s.proofOf(q, d, e)
	switch named := d.named() == e.User; {
	case named && d.link.proof >= p:
		return d
	case p == claimed:
		return s.claim(q, d, e, out)
	case named && d.userID() != "": // it is better known now
		d.link.proof = p
		s.prove(q, d, p, e, out)
		return d
	case !s.admits(q, d, e, out):
		return s.share(q, d, e, out)
	case named:
		out.Proven++
	}
	s.retire(d, e, e.Time, out)
	if d.named() != "" && d.named() != e.User || d.isShared() || s.onward(d, e) {
		d = s.open(q, d, e.Offset, out)
	}
	d.linkTo(e.User, p)
	s.prove(q, d, p, e, out)
	return d
}

// onward reports whether the event links a device from here on alone: who opens a link
// that somebody has sent gives the sender nothing of what was done before.
func (s *Shard) onward(d *device, e *event.Event) bool {
	return e.Trust == event.Linked && d.named() == "" && d.Last > 0
}

// share is the epoch of what is done on a device that too many share.
func (s *Shard) share(q *Partition, d *device, e *event.Event, out *Output) *device {
	if d.named() != "" && d.named() != e.User {
		s.retire(d, e, e.Time, out)
		d = s.open(q, d, e.Offset, out)
		out.Opened(d.id)
	}
	d.told()
	d.link.user, d.link.left, d.link.shared = "", "", true
	return d
}

// proofIn is how well the epoch's own user is known.
func proofIn(d *device) proof {
	if d.link == nil {
		return claimed
	}
	return d.link.proof
}

// admits counts the user among those of the device's day, and reports whether
// it may be linked.
func (s *Shard) admits(q *Partition, d *device, e *event.Event, out *Output) bool {
	if s.p.MaxUsers == 0 {
		return true
	}
	users := &d.told().users
	before, fresh := users.Add(s.now(q, d, e), e.User)
	if before < s.p.MaxUsers {
		return true
	}
	if fresh {
		out.Excess = append(out.Excess, session.Excess{Subject: session.PersonID(d.id, ""), Start: users.Start(), Count: before + 1, Limit: s.p.MaxUsers})
	}
	return false
}

// merges says why an alias is refused, in the words of the dead letter; empty:
// it is not. d is the device that previousId names, nil where there is none.
func (s *Shard) merges(q *Partition, d *device, e *event.Event) string {
	switch {
	case d == nil:
		return "previousId is no anonymous visitor that is known here: events merge no users; identify on each device, or give it a signed link (docs/identity.md)"
	case d.named() != "" && d.named() != e.User: // a claim counts, as if it were true
		return "previousId is linked to another user: events merge no users; if that link is wrong, take it back with POST /v1/identity/unlink and identify again"
	case d.isShared():
		return "previousId is a device that too many persons share: what happened on it is nobody's"
	case d.userID() == "" && s.p.MaxUsers > 0 && s.proofOf(q, d, e) > claimed && d.told().users.Full(s.now(q, d, e), e.User, s.p.MaxUsers):
		return "previousId has as many persons today as identity.max_persons_per_day allows; see `microseg identity`"
	}
	return ""
}

// reset applies a log-out: what the device does from here on is in an epoch of
// its own, which is nobody's yet. Where nobody is logged in it changes nothing.
func (s *Shard) reset(q *Partition, e *event.Event, out *Output) {
	q.Counts.Read++
	d := s.present(q, e.Device, out)
	if q.letGo(e) {
		q.Counts.Duplicate++
		return
	}
	if d == nil { // it is remembered all the same: it may come again behind a log-in
		now := s.now(q, nil, e)
		if now == 0 { // the clock has not begun: when it does, this device is not silent for long
			now = q.Newest()
		}
		d = s.newcomer(q, e, e.Offset, out)
		d.link, d.heard = &link{history: &history{opened: now}}, now
		s.schedule(q, d)
		s.rerank(q, d)
	}
	h, now := d.told(), s.now(q, d, e)
	if slices.Contains(h.resets, e.ID) {
		q.Counts.Duplicate++
		return
	}
	q.Counts.Good++
	if h.resets = append(h.resets, e.ID); len(h.resets) > maxResets {
		h.resets = slices.Delete(h.resets, 0, 1)
	}
	if d.named() == "" {
		return
	}
	if d.claims() {
		t := max(now, s.settled)
		out.Before(&d.Profile, t)
		s.retire(d, e, t, out)
	}
	d = s.open(q, d, e.Offset, out)
	h.opened, d.heard = now, max(d.heard, now)
	out.Opened(d.id)
	s.schedule(q, d)
	s.rerank(q, d)
}

// unlink takes the device from a user, in all of its epochs, as of the
// partition's data clock. The present one is a person of its own again. Sessions
// that are over keep the name that they had.
func (s *Shard) unlink(q *Partition, e *event.Event, out *Output) {
	q.Counts.Read++
	q.Counts.Good++
	d := s.present(q, e.Device, out)
	now := s.now(q, d, e)
	t := max(now, s.settled)
	s.vector = session.Vector{Device: e.Device, User: e.User, Version: session.Version{Offset: e.Offset}, Retract: true, At: t}
	out.Vector(&s.vector, e)
	if d == nil {
		return
	}
	s.distrust(d.id, e.User) // its person keeps that the device left
	linked := d.userID() == e.User
	if s.unclaim(q, d, e, out); !linked {
		s.rerank(q, d)
		return
	}
	s.close(d, now, out)
	d.link.user, d.link.left, d.offset = "", d.link.user, e.Offset
	s.rerank(q, d)
	if d.State().Fold != nil && !d.closed {
		s.wait(d) // its row names another person now
	}
	s.vectorOf(d, t)
	s.vector.Freed = true
	out.Vector(&s.vector, e)
}

// present is the device's present epoch, nil where the retention has forgotten
// it, whether or not the agenda has got there.
func (s *Shard) present(q *Partition, id string, out *Output) *device {
	d := s.devices[id]
	if d != nil && q.Clock >= d.seen()+s.p.Retention {
		return s.forget(q, d, out)
	}
	return d
}

// seen is the newest event time of the epoch, or when it was opened without an event.
func (d *device) seen() int64 {
	if h := d.remembered(); h != nil && !d.past {
		return max(d.Last, h.opened)
	}
	return d.Last
}

func (h *history) appendTo(w *codec.Writer) {
	h.users.AppendTo(w)
	w.Int(h.opened)
	w.Int(h.newest)
	w.Uint(uint64(len(h.resets)))
	for _, id := range h.resets {
		w.Fixed(id)
	}
	w.Int(h.folded)
	w.Int(h.unsure)
}

func readHistory(r *codec.Reader, version byte) history {
	h := history{users: session.ReadDay(r), opened: r.Int()}
	if version > unled {
		h.newest = r.Int()
	}
	for range r.Len() {
		h.resets = append(h.resets, r.Fixed())
	}
	if version > unreceived {
		h.folded, h.unsure = r.Int(), r.Int()
	}
	return h
}
