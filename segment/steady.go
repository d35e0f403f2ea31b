package segment

import "github.com/microseg/microseg/session"

// atom is what all comparisons of a feature with a constant share.
type atom struct {
	op      op
	c       float64
	feature *Feature
	text    string // as written, normalised
	params  *Params
	edge    float64 // see axisEdge
}

// stored is an atom over a stored feature. It changes with events and, for a
// feature of the session, when the session ends.
type stored struct {
	atom
	slot    session.Slot
	session bool
	after   bool // its value once the session is over
}

func newStored(a atom, session bool) *stored {
	return &stored{atom: a, slot: a.feature.slot, session: session, after: a.op.holds(0, a.c)}
}

func (n *stored) eval(v *View, now int64) (bool, int64) {
	if !n.session {
		return n.op.holds(v.Values[n.slot], n.c), never
	}
	if now >= v.SessionEnd {
		return n.after, never
	}
	if ok := n.op.holds(v.Values[n.slot], n.c); ok == n.after {
		return ok, never
	}
	return !n.after, v.SessionEnd
}

func (n *stored) value(v *View, now int64) bool {
	if n.session && now >= v.SessionEnd {
		return n.after
	}
	return n.op.holds(v.Values[n.slot], n.c)
}

func (n *stored) rank() int {
	if n.session {
		return rankSession
	}
	return rankStored
}

// steady is an atom over a derived feature that time alone changes at the end
// of the session at most: session.open, session.duration_s, linked, devices.
type steady struct{ atom }

func (n *steady) eval(v *View, now int64) (bool, int64) {
	ok := n.value(v, now)
	if now < v.SessionEnd && n.value(v, v.SessionEnd) != ok {
		return ok, v.SessionEnd
	}
	return ok, never
}

func (n *steady) value(v *View, now int64) bool {
	x, _ := v.at(n.feature.kind, now, n.params)
	return n.op.holds(x, n.c)
}

func (n *steady) rank() int { return rankSession }
