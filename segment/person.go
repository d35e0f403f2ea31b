package segment

import (
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// person is one of two: a local one is a single unlinked device of this shard,
// and its living profile is what is known of it; a user has the vectors of the
// devices that are linked to it now.
type person struct {
	id          string           // device or userId
	profile     *session.Profile // of a local person, else nil
	user        *user            // of a user, else nil
	since       int64
	evaluated   int64
	looked      int64 // at a tick, with nothing decided; 0: never, or before a restart
	wake        int64 // when to evaluate next if nothing happens
	queued      int64 // time of the person's live entry in the wake heap, 0 for none
	node        int32 // -1 while nowhere: before the first evaluation, or without devices
	transitions uint32
	index       int32  // in Shard.all
	outcomes    uint64 // of ShardParams.Outcomes, as last published
	gone        bool   // dropped, or the device was linked to a user
	publish     bool   // in Shard.changed
	dirty       bool   // evaluated since its last row
	counted     bool   // in the audience, at node
	saved       bool   // as Shard.round: it is in the snapshot that is being written
}

// name is the person's id in rows and records.
func (q *person) name() string {
	if q.user != nil {
		return session.PersonID("", q.id)
	}
	return session.PersonID(q.id, "")
}

// last is the newest event time.
func (q *person) last() int64 {
	if q.user != nil {
		return q.user.last
	}
	return q.profile.Last
}

// visits reports whether the person has visited for so long (ms), and when last.
func (q *person) visits(span int64) (last int64, ok bool) {
	p := session.Presence{}
	if q.user != nil {
		p = q.user.seen
	} else {
		p = q.profile.Presence()
	}
	return p.Active, p.Counts(span)
}

// bot reports whether a crawler speaks for the person.
func (q *person) bot() bool {
	if q.user != nil {
		return q.user.bot
	}
	return q.profile.State().Context.Bot
}

// devices is the number of devices linked now.
func (q *person) devices() int {
	if q.user != nil {
		return q.user.linked()
	}
	return 1
}

// expires is the next close of a device's session after t, 0 for none.
func (q *person) expires(gap, t int64) int64 {
	if q.user != nil {
		return q.user.expires(t)
	}
	if end := q.profile.End(gap); end > t {
		return end
	}
	return 0
}

// sums are the person's decayed sums at t.
func (q *person) sums(p *Params, t int64) (live, long float64) {
	if q.user != nil {
		return q.user.sums(p, t)
	}
	return sumAt(q.profile.Live, t, p.HalfLives.Live), sumAt(q.profile.Long, t, p.HalfLives.Long)
}

func sumAt(d signal.Decayed, t int64, h float64) float64 { return d.At(max(t, d.Ref), h) }

// local is the person that the vector's device is; it is made when there is none.
func (s *Shard) local(v *session.Vector) *person {
	if q, ok := v.Profile.PersonState.(*person); ok {
		return q
	}
	q := &person{id: v.Device, profile: v.Profile, node: nowhere}
	s.insert(q)
	return q
}

// insert takes a person in.
func (s *Shard) insert(q *person) {
	if q.user != nil {
		s.users[q.id] = q
	} else {
		q.profile.PersonState = q
	}
	q.saved = s.round // a snapshot that is being written does not know it
	q.index = int32(len(s.all))
	s.all = append(s.all, q)
}

// remove takes a person out.
func (s *Shard) remove(q *person) {
	n := len(s.all) - 1
	other := s.all[n]
	s.all[q.index], other.index = other, q.index
	s.all[n] = nil
	s.all = s.all[:n]
	if q.user != nil {
		delete(s.users, q.id)
	} else {
		q.profile.PersonState = nil
	}
}
