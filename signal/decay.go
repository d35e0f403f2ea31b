// Package signal weighs events: exponentially decayed sums that merge in any
// order, the signal weight of anything that has such sums, and the rules that
// give an event its weight.
package signal

import "math"

// HalfLives are the two global half-lives in milliseconds.
type HalfLives struct {
	Live float64 `setting:"live"` // recent behaviour, 10 min by default
	Long float64 `setting:"long"` // the visitor's base line, 2 h by default
}

// Decayed is an exponentially decayed sum of non-negative weights,
//
//	S(t) = Σ wᵢ·2^(−(t−tᵢ)/h)
//
// stored as (sum, reference time). It is a commutative monoid: the zero value
// is the zero, Merge is associative and commutative up to rounding (1e-9
// relative). The half-life h is not stored; it is the caller's, and always a
// half-life, never an alpha: an alpha ties the decay to the number of updates,
// and late or merged input has no such number.
//
// The naive form, scaling every weight by 2^(t/h) from a fixed origin,
// overflows after about 1,000 half-lives; rescaling to the newer reference
// cannot, and a gap of years gives 0, not NaN.
type Decayed struct {
	Sum float64
	Ref int64 // ms since the epoch; meaningless while Sum is 0
}

// decay is 2^(−dt/h) for dt >= 0 in ms.
func decay(dt, h float64) float64 { return math.Exp2(-dt / h) }

// Add returns the sum with weight w at time t (ms). An event older than the
// reference adds its already decayed weight.
func (d Decayed) Add(w float64, t int64, h float64) Decayed {
	return d.Merge(Decayed{Sum: w, Ref: t}, h)
}

// Merge returns the decayed sum of both inputs' events.
func (d Decayed) Merge(o Decayed, h float64) Decayed {
	switch {
	case o.Sum == 0:
		return d
	case d.Sum == 0:
		return o
	case d.Ref == o.Ref:
		return Decayed{d.Sum + o.Sum, d.Ref}
	case d.Ref < o.Ref:
		d, o = o, d
	}
	return Decayed{d.Sum + o.Sum*decay(float64(d.Ref-o.Ref), h), d.Ref}
}

// At is the value at time t (ms). Before the reference it is the value that
// the known events will have had, i.e. larger; callers ask for t >= Ref.
func (d Decayed) At(t int64, h float64) float64 {
	if d.Sum == 0 {
		return 0
	}
	return d.Sum * decay(float64(t-d.Ref), h)
}

// Weight is the signal weight min(1, (live/h_live)/(long/h_long)) at time t,
// computed in log space so that it stays right when both sums have decayed
// below the smallest float. ok is false without events.
//
// Under steady traffic it is 1; without events the unclamped ratio is one
// exponential of half-life 1/(1/h_live − 1/h_long).
func Weight(live, long Decayed, t int64, h HalfLives) (w float64, ok bool) {
	if live.Sum <= 0 || long.Sum <= 0 {
		return 0, false
	}
	l := math.Log2(live.Sum/h.Live) - float64(t-live.Ref)/h.Live
	g := math.Log2(long.Sum/h.Long) - float64(t-long.Ref)/h.Long
	return math.Min(1, math.Exp2(l-g)), true
}

// Intent is 1 − 2^(−live/κ), in [0,1).
func Intent(live, kappa float64) float64 {
	// -Expm1 keeps precision for small sums.
	v := -math.Expm1(-live / kappa * math.Ln2)
	if v >= 1 {
		return math.Nextafter(1, 0)
	}
	return v
}
