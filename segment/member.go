package segment

import (
	"slices"

	"github.com/microseg/microseg/session"
)

// member is `feature in [constants]` over a stored feature. It changes as
// stored does.
type member struct {
	atom    // op and c are not used
	set     []float64
	slot    session.Slot
	session bool
	after   bool // its value once the session is over
}

func newMember(a atom, set []float64, session bool) *member {
	return &member{atom: a, set: set, slot: a.feature.slot, session: session, after: slices.Contains(set, 0)}
}

func (n *member) eval(v *View, now int64) (bool, int64) {
	ok := n.value(v, now)
	if n.session && now < v.SessionEnd && ok != n.after {
		return ok, v.SessionEnd
	}
	return ok, never
}

func (n *member) value(v *View, now int64) bool {
	if n.session && now >= v.SessionEnd {
		return n.after
	}
	return slices.Contains(n.set, v.Values[n.slot])
}

func (n *member) rank() int {
	if n.session {
		return rankSession
	}
	return rankStored
}
