package segment

import (
	"slices"

	"github.com/microseg/microseg/session"
)

// leave takes a device out of a user, in all of its epochs. Whoever has none left
// goes, too. What is published of who loses a deleted device begins anew: the
// record that is out may be of a later time than all that remains.
func (s *Shard) leave(v *session.Vector, partition int32, out *Effects) {
	q := s.users[v.User]
	if v.Erased && s.p.Publish {
		s.erased = append(s.erased, session.PersonID("", v.User))
	}
	s.keep(q)
	if q == nil || !s.wakeUntil(q, s.reached(q, v.At), out) {
		return
	}
	at, from := max(q.evaluated, v.At), nobody
	cause := causeOf(v, CauseUnlink)
	switch {
	case v.Evicted:
		if cause, from = CauseEvicted, (place{v.Version.Offset, partition}); !q.user.erase(v.Device) {
			return
		}
	case v.Erased:
		q.user.erase(v.Device)
		cause = CauseErased
	case !q.user.lose(v):
		return
	}
	switch {
	case q.user.linked() == 0:
		s.drop(q, at, cause, from, out)
	case at >= q.user.last+s.p.Retention:
		s.drop(q, at, CauseRetention, nobody, out)
	default:
		if cause == CauseErased {
			cause = CauseUnlink
		}
		s.evaluate(q, at, cause, v.Version.Offset, partition, out)
		s.publish(q)
	}
}

// erase drops a device's vectors without a trace, and reports whether there were any.
func (u *user) erase(device string) bool {
	n := len(u.devices)
	u.devices = slices.DeleteFunc(u.devices, func(d deviceVector) bool { return d.device == device })
	u.settle()
	return len(u.devices) < n
}

// erasedRow is the row of a person that was deleted: that it is gone, and nothing else.
func erasedRow(q *person, t int64) StateRow {
	return StateRow{Person: q.name(), Node: nowhere, Since: t, Evaluated: t, Next: never, Transitions: q.transitions, Deleted: true}
}
