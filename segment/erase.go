package segment

import (
	"slices"

	"github.com/microseg/microseg/session"
)

// erase takes a deleted device out of a user, in all of its epochs. Whoever has
// none left goes, too. What is published of the user begins anew: the record
// that is out may be of a later time than all that remains.
func (s *Shard) erase(v *session.Vector, partition int32, out *Effects) {
	q := s.users[v.User]
	if s.p.Publish {
		s.erased = append(s.erased, session.PersonID("", v.User))
	}
	if q == nil || !s.wakeUntil(q, max(q.evaluated, v.At), out) {
		return
	}
	at := max(q.evaluated, v.At)
	q.user.erase(v.Device)
	switch {
	case q.user.linked() == 0:
		s.drop(q, at, CauseErased, out)
	case at >= q.user.last+s.p.Retention:
		s.drop(q, at, CauseRetention, out)
	default:
		s.evaluate(q, at, CauseUnlink, v.Version.Offset, partition, out)
		s.publish(q)
	}
}

// erase drops a device's vectors; the user's last event is that of another one.
func (u *user) erase(device string) {
	u.devices = slices.DeleteFunc(u.devices, func(d deviceVector) bool { return d.device == device })
	u.last = 0
	for i := range u.devices {
		u.last = max(u.last, u.devices[i].last)
	}
}

// erasedRow is the row of a person that was deleted: that it is gone, and nothing else.
func erasedRow(q *person, t int64) StateRow {
	return StateRow{Person: q.name(), Node: nowhere, Since: t, Evaluated: t, Next: never, Transitions: q.transitions, Deleted: true}
}
