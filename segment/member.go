package segment

import (
	"slices"

	"github.com/microseg/microseg/session"
)

// member is `feature in [constants]` over a stored feature. It changes as
// stored does.
type member struct {
	atom    // op and c are not used
	runs    []run
	slot    session.Slot
	session bool
	after   bool // its value once the session is over
}

// run is the constants from lo to hi: a single one, or successive codes of an
// enumeration. The nodes below a segment are one run, however many they are.
type run struct{ lo, hi float64 }

func newMember(a atom, set []float64, session bool) *member {
	n := &member{atom: a, runs: runs(set, a.feature.Enum != nil), slot: a.feature.slot, session: session}
	n.after = n.has(0)
	return n
}

func runs(set []float64, codes bool) (out []run) {
	set = slices.Clone(set)
	slices.Sort(set)
	for _, x := range slices.Compact(set) {
		if last := len(out) - 1; codes && last >= 0 && out[last].hi+1 == x {
			out[last].hi = x
			continue
		}
		out = append(out, run{x, x})
	}
	return out
}

func (n *member) has(x float64) bool {
	for _, r := range n.runs {
		if x >= r.lo && x <= r.hi {
			return true
		}
	}
	return false
}

// parts are the runs as nodes of their own.
func (n *member) parts() []node {
	at := func(o op, c float64) node {
		a := n.atom
		a.op, a.c = o, c
		return newStored(a, n.session)
	}
	out := make([]node, len(n.runs))
	for i, r := range n.runs {
		if out[i] = at(opEQ, r.lo); r.lo < r.hi {
			out[i] = conj{at(opGE, r.lo), at(opLE, r.hi)}
		}
	}
	return out
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
	return n.has(v.Values[n.slot])
}

func (n *member) rank() int {
	if n.session {
		return rankSession
	}
	return rankStored
}
