package segment

import (
	"cmp"
	"math"
	"slices"
)

// node is a lowered predicate.
type node interface {
	// eval is the value at now (ms) and a time after now before which it cannot
	// change without an event; never where it cannot change at all.
	eval(v *View, now int64) (ok bool, next int64)
	// value is eval without the time.
	value(v *View, now int64) bool
	// rank orders the sides of && and ||: what is cheap and changes seldom is
	// looked at first, so that it decides and sets no needless wake-up.
	rank() int
}

const never = int64(math.MaxInt64)

// Ranks, from cheap and steady to dear and restless.
const (
	rankConstant = iota
	rankStored
	rankSession
	rankElapsed
	rankDecaying
	rankGeneral
)

type constant bool

func (c constant) eval(*View, int64) (bool, int64) { return bool(c), never }
func (c constant) value(*View, int64) bool         { return bool(c) }
func (c constant) rank() int                       { return rankConstant }

// conj is a conjunction. A false side keeps it false until that side changes,
// whatever the others do, so the first false side gives the time as well.
type conj []node

func (n conj) eval(v *View, now int64) (bool, int64) {
	next := never
	for _, c := range n {
		ok, t := c.eval(v, now)
		if !ok {
			return false, t
		}
		next = min(next, t)
	}
	return true, next
}

func (n conj) value(v *View, now int64) bool {
	for _, c := range n {
		if !c.value(v, now) {
			return false
		}
	}
	return true
}

func (n conj) rank() int { return n[len(n)-1].rank() }

// disj is a disjunction, the mirror of conj.
type disj []node

func (n disj) eval(v *View, now int64) (bool, int64) {
	next := never
	for _, c := range n {
		ok, t := c.eval(v, now)
		if ok {
			return true, t
		}
		next = min(next, t)
	}
	return false, next
}

func (n disj) value(v *View, now int64) bool {
	for _, c := range n {
		if c.value(v, now) {
			return true
		}
	}
	return false
}

func (n disj) rank() int { return n[len(n)-1].rank() }

type not struct{ a node }

func (n *not) eval(v *View, now int64) (bool, int64) {
	ok, next := n.a.eval(v, now)
	return !ok, next
}

func (n *not) value(v *View, now int64) bool { return !n.a.value(v, now) }
func (n *not) rank() int                     { return n.a.rank() }

// both is a && b, flattened, ordered by rank and without constants.
func both(a, b node) node {
	var out conj
	for _, n := range [2]node{a, b} {
		switch n := n.(type) {
		case constant:
			if !n {
				return n
			}
		case conj:
			out = append(out, n...)
		default:
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return constant(true)
	}
	if len(out) == 1 {
		return out[0]
	}
	slices.SortStableFunc(out, byRank)
	return out
}

// either is a || b in the same form.
func either(a, b node) node {
	var out disj
	for _, n := range [2]node{a, b} {
		switch n := n.(type) {
		case constant:
			if n {
				return n
			}
		case disj:
			out = append(out, n...)
		default:
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return constant(false)
	}
	if len(out) == 1 {
		return out[0]
	}
	slices.SortStableFunc(out, byRank)
	return out
}

func byRank(a, b node) int { return cmp.Compare(a.rank(), b.rank()) }

func negated(a node) node {
	switch a := a.(type) {
	case constant:
		return !a
	case *not:
		return a.a
	}
	return &not{a}
}
