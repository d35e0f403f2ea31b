package identity

import (
	"container/heap"
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// erase applies a tombstone: whatever is known of the device, in all of its
// epochs, goes, as of the partition's data clock, and each user that it is or
// was linked to loses it. The clock itself does not move.
func (s *Shard) erase(q *Partition, e *event.Event, out *Output) {
	q.Counts.Read++
	q.Counts.Good++
	if d := s.devices[e.Device]; d != nil && !q.isHome(d) {
		_, q = s.homeOf(d)
	}
	d := s.present(q, e.Device, out)
	users := s.usersOf(e)
	var profile *session.Profile
	if d != nil {
		profile = &d.Profile
	}
	now := s.now(q, d, e)
	out.Erased(e.Device, profile, now)
	s.drop(e.Device)
	q.unlearn(e.Device)
	for _, u := range users {
		s.vector = session.Vector{Device: e.Device, User: u, Version: session.Version{Offset: e.Offset}, Retract: true, Erased: true, At: now}
		out.Vector(&s.vector, e)
	}
}

// usersOf are the users that a tombstone is about, sorted: its own, and those of
// the device's epochs.
func (s *Shard) usersOf(e *event.Event) (users []string) {
	add := func(u string) {
		if u != "" {
			users = append(users, strings.Clone(u))
		}
	}
	add(e.User)
	for _, d := range s.epochs(e.Device) {
		add(d.userID())
	}
	for _, f := range s.former[e.Device] {
		users = append(users, f.user)
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// epochs are all that the shard holds of a device: the agenda has them, also
// what the retention has hidden and what still waits for its last row.
func (s *Shard) epochs(id string) (out []*device) {
	for _, q := range s.parts {
		for _, d := range q.agenda {
			if d.id == id {
				out = append(out, d)
			}
		}
	}
	return out
}

// drop takes a device out with everything that waits for it.
func (s *Shard) drop(id string) {
	d := s.devices[id]
	delete(s.devices, id)
	delete(s.past, id)
	delete(s.former, id)
	for _, q := range s.parts {
		q.unrank(d)
		for i := len(q.agenda) - 1; i >= 0; i-- {
			if d := q.agenda[i]; d.id == id {
				d.dirty, d.past = false, true
				heap.Remove(&q.agenda, i)
				i = len(q.agenda) // another one has moved to i
			}
		}
	}
	s.held = slices.DeleteFunc(s.held, func(h held) bool { return h.device.id == id })
	s.dirty = slices.DeleteFunc(s.dirty, func(y dirty) bool { return y.device.id == id })
}
