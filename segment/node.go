package segment

import (
	"math"
)

// node is a lowered predicate: its value at now, and the earliest time after
// now at which it may differ without an event.
type node interface {
	eval(v *View, now int64) (ok bool, next int64)
}

const never = int64(math.MaxInt64)

type constant bool

func (c constant) eval(*View, int64) (bool, int64) { return bool(c), never }

type and struct{ a, b node }

// A false side keeps the conjunction false until that side changes.
func (n *and) eval(v *View, now int64) (bool, int64) {
	a, na := n.a.eval(v, now)
	if !a {
		return false, na
	}
	b, nb := n.b.eval(v, now)
	if !b {
		return false, nb
	}
	return true, min(na, nb)
}

type or struct{ a, b node }

// A true side keeps the disjunction true until that side changes.
func (n *or) eval(v *View, now int64) (bool, int64) {
	a, na := n.a.eval(v, now)
	if a {
		return true, na
	}
	b, nb := n.b.eval(v, now)
	if b {
		return true, nb
	}
	return false, min(na, nb)
}

type not struct{ a node }

func (n *not) eval(v *View, now int64) (bool, int64) {
	a, next := n.a.eval(v, now)
	return !a, next
}

type op uint8

const (
	opLT op = iota
	opLE
	opGT
	opGE
	opEQ
	opNE
)

// mirrored is the operator with its sides exchanged.
func (o op) mirrored() op { return [...]op{opGT, opGE, opLT, opLE, opEQ, opNE}[o] }

func (o op) holds(a, b float64) bool {
	switch o {
	case opLT:
		return a < b
	case opLE:
		return a <= b
	case opGT:
		return a > b
	case opGE:
		return a >= b
	case opEQ:
		return a == b
	}
	return a != b
}

// general is a comparison without a closed form: looked at on the refresh grid.
type general struct {
	op      op
	a, b    number
	grid    bool
	session bool
	params  *Params
}

func (n *general) eval(v *View, now int64) (bool, int64) {
	x, y := n.a(v, now), n.b(v, now)
	ok := !math.IsNaN(x) && !math.IsNaN(y) && n.op.holds(x, y)
	next := never
	if n.grid {
		g := n.params.RefreshMS
		next = (now/g + 1) * g
	}
	if now < v.SessionEnd {
		next = min(next, v.SessionEnd)
	}
	return ok, next
}

// still is an atom over a feature that changes only with events and at the end of a session.
type still struct {
	op      op
	c       float64
	f       *Feature
	schema  *Schema
	params  *Params
	session bool
}

func (n *still) eval(v *View, now int64) (bool, int64) {
	x, _ := n.schema.value(n.f, v, now, n.params)
	ok := n.op.holds(x, n.c)
	if n.session && now < v.SessionEnd && n.after(v) != ok {
		return ok, v.SessionEnd
	}
	return ok, never
}

// after is the atom's value once the session is over.
func (n *still) after(v *View) bool {
	x, _ := n.schema.value(n.f, v, v.SessionEnd, n.params)
	return n.op.holds(x, n.c)
}

// atom is the node of feature ◦ constant.
func (l *lowerer) atom(f *Feature, o op, c float64) node {
	if f.Varies() {
		return &moving{op: o, c: c, kind: f.kind, params: &l.c.params}
	}
	session := f.kind == derivedOpen || f.kind == derivedDuration || f.kind < 0 && l.c.schema.stored[f.slot].Session
	return &still{op: o, c: c, f: f, schema: l.c.schema, params: &l.c.params, session: session}
}

// moving is an atom over a feature that moves monotonically with time: decayed
// sums, intent and signal weight fall, elapsed times and the stale share rise.
type moving struct {
	op     op
	c      float64
	kind   int
	params *Params
}

func (n *moving) holds(v *View, t int64) bool {
	x, ok := v.at(n.kind, t, n.params)
	return ok && n.op.holds(x, n.c)
}

func (n *moving) eval(v *View, now int64) (bool, int64) {
	ok := n.holds(v, now)
	est, crosses := n.crossing(v)
	if !crosses {
		return ok, never
	}
	return ok, n.confirm(v, now, ok, est)
}

// crossing is where the closed form puts the time (ms) at which the feature
// equals the constant; crosses is false where it never does.
func (n *moving) crossing(v *View) (t float64, crosses bool) {
	h := n.params.HalfLives
	switch n.kind {
	case derivedLive:
		return fall(v.Live.Sum, v.Live.Ref, n.c, h.Live)
	case derivedLong:
		return fall(v.Long.Sum, v.Long.Ref, n.c, h.Long)
	case derivedIntent:
		if n.c >= 1 || n.c < 0 {
			return 0, false
		}
		return fall(v.Live.Sum, v.Live.Ref, -math.Log2(1-n.c)*n.params.Kappa, h.Live)
	case derivedWeight:
		return n.weight(v, n.c)
	case derivedStale:
		return n.weight(v, 1-n.c)
	case derivedIdle:
		return float64(v.Last) + n.c*1000, true
	case derivedCartAge:
		added, ok := v.at(derivedCartAge, 0, n.params)
		return -added*1000 + n.c*1000, ok && added != 0
	}
	return 0, false
}

// fall is when sum·2^(−(t−ref)/h) = c.
func fall(sum float64, ref int64, c, h float64) (float64, bool) {
	if sum <= 0 {
		return 0, false
	}
	if c <= 0 {
		// It falls to 0 where the floats end, about 1,100 half-lives on.
		return float64(ref) + 1100*h + h*math.Max(0, math.Log2(sum)), true
	}
	return float64(ref) + h*math.Log2(sum/c), true
}

// weight is when the unclamped ratio (live/h_live)/(long/h_long) = c.
func (n *moving) weight(v *View, c float64) (float64, bool) {
	h := n.params.HalfLives
	if v.Live.Sum <= 0 || v.Long.Sum <= 0 {
		return 0, false
	}
	at := math.Log2(v.Live.Sum/h.Live) - math.Log2(v.Long.Sum/h.Long) + float64(v.Live.Ref)/h.Live - float64(v.Long.Ref)/h.Long
	rate := 1/h.Live - 1/h.Long
	if c <= 0 {
		return (at + 1100) / rate, true
	}
	return (at - math.Log2(c)) / rate, true
}

// confirm finds the first millisecond after now at which the atom's own result
// differs from ok: from the estimate it widens until both values are seen, then
// bisects; the feature is monotone, so there is one such time at the most.
func (n *moving) confirm(v *View, now int64, ok bool, est float64) int64 {
	if est > math.MaxInt64/4 || est < float64(now)-1000 {
		return never // so far behind that rounding cannot be the reason: it has crossed
	}
	lo, hi := now, max(now, int64(est))+1
	for step := int64(1); n.holds(v, hi) == ok; step *= 4 {
		if step > 1<<41 { // about 70 years: it never does
			return never
		}
		lo, hi = hi, hi+step
	}
	if guess := int64(est) - 1; guess > lo && guess < hi {
		if n.holds(v, guess) == ok {
			lo = guess
		} else {
			hi = guess
		}
	}
	for lo+1 < hi {
		if mid := lo + (hi-lo)/2; n.holds(v, mid) == ok {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}
