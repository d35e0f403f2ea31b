package segment

import (
	"math"

	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// ulps is a generous bound on the relative error of a few floating operations.
const ulps = 4e-15

// level puts the constant of an atom on the axis on which the closed form
// solves. Where the feature is so close to an end of its domain that rounding
// rules, or beyond it, fuzz is NaN.
func level(kind int, c, kappa float64) (level, fuzz float64) {
	edge := math.Min(c, 1-c)
	switch kind {
	case derivedLive, derivedLong:
		if c > 1e-100 && c < 1e100 {
			return c, 0
		}
	case derivedIntent:
		if edge > 1e-9 {
			return -math.Log1p(-c) / math.Ln2 * kappa, ulps / edge
		}
	case derivedWeight:
		if edge > 1e-9 {
			return c, 0
		}
	case derivedStale:
		if edge > 1e-9 {
			return 1 - c, ulps / edge
		}
	case derivedIdle, derivedCartAge:
		return c * 1000, math.NaN() // mostly whole: always worth a look
	}
	return 0, math.NaN()
}

// crossing is where the closed form sees the feature at the constant: at
// base+d (ms). The atom's own result agrees wherever it is further than e from
// there; e is NaN where that is not known. moves is false where the feature
// stands still.
func (n *moving) crossing(v *View) (base int64, d, e float64, moves bool) {
	h := n.params.HalfLives
	switch n.feature.kind {
	case derivedLive, derivedIntent:
		return n.fall(v.Live, h.Live)
	case derivedLong:
		return n.fall(v.Long, h.Long)
	case derivedWeight, derivedStale:
		return n.thin(v, h)
	case derivedIdle:
		return v.Last, n.level, math.NaN(), true
	}
	added := v.Values[session.SlotCartChanged]
	return int64(added), n.level, math.NaN(), added != 0
}

// fall solves sum·2^(−d/h) = level.
func (n *moving) fall(s signal.Decayed, h float64) (base int64, d, e float64, moves bool) {
	if s.Sum <= 0 {
		return s.Ref, 0, math.NaN(), false
	}
	if math.IsNaN(n.fuzz) {
		return s.Ref, h * n.guess(s.Sum), n.fuzz, true
	}
	d = h * math.Log2(s.Sum/n.level)
	return s.Ref, d, 1.5 * (h*n.fuzz + ulps*(h+math.Abs(d))), true
}

// guess is about how many half-lives a sum takes to reach a constant near an
// end of the domain, or beyond it. Near 0 it falls on until the floats end.
func (n *moving) guess(sum float64) float64 {
	level := n.c
	if n.feature.kind == derivedIntent {
		level = -math.Log1p(-n.c) / math.Ln2 * n.params.Kappa
	}
	if !(level > math.SmallestNonzeroFloat64) {
		level = math.SmallestNonzeroFloat64
	}
	return math.Min(1074, math.Log2(sum)-math.Log2(level)) // math.Exp2 is 0 below −1074
}

// thin solves (live/h_live)/(long/h_long) = level, unclamped.
func (n *moving) thin(v *View, h signal.HalfLives) (base int64, d, e float64, moves bool) {
	if v.Live.Sum <= 0 || v.Long.Sum <= 0 {
		return v.Live.Ref, 0, math.NaN(), false
	}
	rate := 1/h.Live - 1/h.Long
	apart := float64(v.Live.Ref-v.Long.Ref) / h.Long
	if math.IsNaN(n.fuzz) { // an end of the domain: a guess for confirm
		at := math.Log2(v.Live.Sum/h.Live) - math.Log2(v.Long.Sum/h.Long) + apart
		if (n.c > 0.5) == (n.feature.kind == derivedWeight) {
			return v.Live.Ref, at / rate, n.fuzz, true
		}
		return v.Live.Ref, (at + 1075) / rate, n.fuzz, true
	}
	ratio := math.Log2(v.Live.Sum / v.Long.Sum * (h.Long / h.Live) / n.level)
	d = (ratio + apart) / rate
	size := math.Abs(ratio) + math.Abs(apart) + math.Abs(d)/h.Live + 64 // 64: the logarithms that Weight takes
	return v.Live.Ref, d, 1.5 * (n.fuzz + ulps*size) / rate, true
}
