package segment

import "math"

// moving is an atom over a feature that moves monotonically with time: decayed
// sums, intent and signal weight fall, elapsed times and the stale share rise.
// So without events it changes once at the most.
//
// When, is found by closed form. Floating-point rounding can put that a little
// off the atom's own result, so where the closed form is not certain (see
// crossing) the time is confirmed by evaluating.
type moving struct {
	atom
	before bool    // the value long before the crossing
	turns  bool    // the value in the end is the other one
	level  float64 // constant on the axis of the closed form: a live or long sum, a weight, ms
	fuzz   float64 // relative error of level; NaN where only evaluating is certain
}

func newMoving(a atom) *moving {
	n := &moving{atom: a}
	limit := 0.
	switch rises := a.op == opLT || a.op == opLE; a.feature.kind {
	case derivedStale:
		limit, n.before = 1, rises
	case derivedIdle, derivedCartAge:
		limit, n.before = math.Inf(1), rises
	default:
		n.before = !rises
	}
	n.turns = a.op.holds(limit, a.c) != n.before
	if a.feature.kind == derivedIntent || a.feature.kind == derivedStale {
		n.edge = axisEdge(&a)
	}
	n.level, n.fuzz = level(a.feature.kind, a.c, a.params.Kappa)
	return n
}

func (n *moving) value(v *View, t int64) bool {
	x, ok := v.at(n.feature.kind, t, n.params)
	return ok && n.op.holds(x, n.c)
}

func (n *moving) eval(v *View, now int64) (bool, int64) {
	base, d, e, moves := n.crossing(v)
	if moves && e < 0.25 { // false for NaN
		switch at := float64(now - base); {
		case at-d > e:
			return !n.before, never
		case d-at > e:
			// Certain unless the crossing is as close to a whole millisecond.
			if up := math.Ceil(d); n.turns && up < far && up-d > e && d-(up-1) > e {
				return n.before, base + int64(up)
			}
		}
	}
	ok := n.value(v, now)
	if !moves || !n.turns || ok != n.before {
		return ok, never
	}
	return ok, n.confirm(v, now, base, d)
}

func (n *moving) rank() int {
	if n.feature.kind == derivedIdle || n.feature.kind == derivedCartAge {
		return rankElapsed
	}
	return rankDecaying
}

// far is so long (ms, 285,000 years) that it counts as never.
const far = 1 << 53

// confirm finds the first millisecond after now at which the atom's own result
// is no longer n.before: from the estimate base+d it widens until both values
// are seen, then bisects.
func (n *moving) confirm(v *View, now, base int64, d float64) int64 {
	if d > far {
		return never
	}
	if math.IsNaN(d) { // sums beyond the floats: no guess, look from now on
		d = float64(now - base)
	}
	lo, hi := now, max(now+1, base+int64(math.Ceil(max(d, -far))))
	if n.value(v, hi) == n.before {
		lo, hi = hi, hi+1
		for step := int64(1); n.value(v, hi) == n.before; lo, hi = hi, hi+step {
			if step *= 4; step > far {
				return never
			}
		}
	} else {
		for step := int64(1); hi-step > now; step *= 4 {
			if n.value(v, hi-step) == n.before {
				lo = hi - step
				break
			}
			hi -= step
		}
	}
	for lo+1 < hi {
		if mid := lo + (hi-lo)/2; n.value(v, mid) == n.before {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}
