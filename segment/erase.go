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
	at := max(q.evaluated, v.At)
	cause := causeOf(v, CauseUnlink)
	if v.Erased {
		q.user.erase(v.Device)
		cause = CauseErased
	} else if !q.user.lose(v) {
		return
	}
	switch {
	case q.user.linked() == 0:
		s.drop(q, at, cause, nobody, out)
	case at >= q.user.last+s.p.Retention:
		s.drop(q, at, CauseRetention, nobody, out)
	default:
		s.evaluate(q, at, causeOf(v, CauseUnlink), v.Version.Offset, partition, out)
		s.publish(q)
	}
}

// erase drops a device's vectors without a trace.
func (u *user) erase(device string) {
	u.devices = slices.DeleteFunc(u.devices, func(d deviceVector) bool { return d.device == device })
	u.settle()
}

// erasedRow is the row of a person that was deleted: that it is gone, and nothing else.
func erasedRow(q *person, t int64) StateRow {
	return StateRow{Person: q.name(), Node: nowhere, Since: t, Evaluated: t, Next: never, Transitions: q.transitions, Deleted: true}
}
