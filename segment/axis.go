package segment

import (
	"math"
	"slices"

	"github.com/microseg/microseg/signal"
)

// Axes of the feature space that the prover reasons about: one a stored slot,
// and one a derived feature that does not follow from another. intent lies on
// the axis of live, stale_share on that of signal_weight, and session.open on
// that of idle_s, since a session is open for as long as its gap.
type axis int

const axisDerived axis = 1 << 20 // + kind

func (f *Feature) axis() axis {
	switch {
	case f.kind < 0:
		return axis(f.slot)
	case f.kind == derivedIntent:
		return axisDerived + derivedLive
	case f.kind == derivedStale:
		return axisDerived + derivedWeight
	case f.kind == derivedOpen:
		return axisDerived + derivedIdle
	}
	return axisDerived + axis(f.kind)
}

// span is what is left of an axis: an interval without some points. Codes of
// enumerations and booleans are whole numbers.
type span struct {
	lo, hi         float64
	loOpen, hiOpen bool
	holes          []float64
	whole          bool
}

// domain is the whole axis of a feature.
func (f *Feature) domain() span {
	switch {
	case f.kind == derivedIntent || f.kind == derivedOpen: // live, idle_s
		return span{hi: math.Inf(1)}
	case f.Enum != nil:
		return span{hi: float64(len(f.Enum) - 1), whole: true}
	}
	return span{hi: f.Max, whole: f.Whole || f.Bool}
}

// cut keeps the values x with x ◦ c.
func (s span) cut(o op, c float64) span {
	switch o {
	case opLT, opLE:
		if c < s.hi || c == s.hi && o == opLT {
			s.hi, s.hiOpen = c, o == opLT
		}
	case opGT, opGE:
		if c > s.lo || c == s.lo && o == opGT {
			s.lo, s.loOpen = c, o == opGT
		}
	case opEQ:
		return s.cut(opGE, c).cut(opLE, c)
	case opNE:
		s.holes = append(slices.Clip(s.holes), c)
	}
	return s
}

func (s *span) has(x float64) bool {
	return !math.IsNaN(x) && (x > s.lo || x == s.lo && !s.loOpen) && (x < s.hi || x == s.hi && !s.hiOpen) &&
		(!s.whole || x == math.Trunc(x)) && !slices.Contains(s.holes, x)
}

// pick is a value of the span, a plain one where there is a choice; ok is
// false where none is left.
func (s *span) pick() (x float64, ok bool) {
	if s.has(s.lo) {
		return s.lo, true
	}
	for _, x := range [...]float64{math.Floor(s.lo) + 1, s.lo + (s.hi-s.lo)/2, s.hi} {
		if !math.IsInf(x, 0) && s.has(x) {
			return x, true
		}
	}
	// One of the next few values above lo is left, or none is: each hole takes one.
	for x, n := s.lo, 0; n <= len(s.holes)+1; n++ {
		if x = s.above(x); s.has(x) && !math.IsInf(x, 0) {
			return x, true
		}
	}
	return 0, false
}

func (s *span) above(x float64) float64 {
	if s.whole {
		return math.Floor(x) + 1
	}
	return math.Nextafter(x, math.Inf(1))
}

// cutBy cuts the axis of a feature by an atom on it with the operator o, that
// of the atom or its negation. For intent and stale_share it keeps the values
// of the axis at which the feature's own result satisfies the atom, to the
// last float.
func (s span) cutBy(a *atom, o op) (out span, possible bool) {
	up := o == opGT || o == opGE
	switch a.feature.kind {
	case derivedIntent:
	case derivedStale:
		up = !up
	case derivedOpen:
		gap := float64(a.params.GapMS) / 1000
		switch closed, open := o.holds(0, a.c), o.holds(1, a.c); {
		case closed && open:
			return s, true
		case open:
			return s.cut(opLT, gap), true
		case closed:
			return s.cut(opGE, gap), true
		}
		return s, false
	default:
		return s.cut(o, a.c), true
	}
	if up {
		return s.cut(opGE, a.edge), !math.IsInf(a.edge, 1)
	}
	return s.cut(opLT, a.edge), true
}

// axisEdge is where on its axis an atom on intent or stale_share changes: the
// smallest value above the change, +Inf if there is none.
func axisEdge(a *atom) float64 {
	above := a.op // the operator that holds above the edge, of this atom or its negation
	f := func(live float64) float64 { return signal.Intent(live, a.params.Kappa) }
	rises := a.op == opGT || a.op == opGE
	if a.feature.kind == derivedStale {
		f, rises = func(w float64) float64 { return 1 - w }, !rises
	}
	if !rises {
		above = above.negated()
	}
	edge, found := firstFloat(func(x float64) bool { return above.holds(f(x), a.c) })
	if !found {
		return math.Inf(1)
	}
	return edge
}

// firstFloat is the smallest finite float >= 0 at which ok, which goes from
// false to true at most once, is true.
func firstFloat(ok func(x float64) bool) (x float64, found bool) {
	if !ok(math.MaxFloat64) {
		return 0, false
	}
	lo, hi := uint64(0), math.Float64bits(math.MaxFloat64) // bits of floats >= 0 are in order
	for lo < hi {
		if mid := lo + (hi-lo)/2; ok(math.Float64frombits(mid)) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return math.Float64frombits(hi), true
}
