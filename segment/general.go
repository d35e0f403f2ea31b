package segment

import "math"

// number computes a value at t (ms); NaN where it is undefined.
type number func(v *View, t int64) float64

// general is a comparison without a closed form. If it changes with time, it
// is looked at on the refresh grid, which is aligned to the epoch.
type general struct {
	op      op
	a, b    number
	grid    int64 // ms, 0 where it changes with events only
	session bool  // reads a feature of the session
	text    string
}

func (n *general) eval(v *View, now int64) (bool, int64) {
	next := never
	if n.grid > 0 {
		next = (floorDiv(now, n.grid) + 1) * n.grid
	}
	if n.session && now < v.SessionEnd {
		next = min(next, v.SessionEnd)
	}
	return n.value(v, now), next
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// value is false where a side is undefined, != included.
func (n *general) value(v *View, now int64) bool {
	x, y := n.a(v, now), n.b(v, now)
	return !math.IsNaN(x) && !math.IsNaN(y) && n.op.holds(x, y)
}

func (n *general) rank() int { return rankGeneral }
