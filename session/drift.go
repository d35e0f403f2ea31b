package session

import "math"

// drift is a sum of floats that are added one after the other, as it was when they last
// were: what it began with, and what it came to. Begun elsewhere it comes to what is as
// far from that, to the last bit, if no sum on the way leaves its binade (the numbers with
// one exponent, which are equally far apart): then each is rounded as before. Only sums
// that are just between two numbers are rounded to the even one of them, and one that
// comes to a power of two may be of the binade below, where numbers are closer together.
type drift struct {
	known, ties bool
	in, out     float64
	lo, hi      float64 // the least and the most of the sums, with in and out
}

func driftFrom(x float64) drift { return drift{known: true, in: x, out: x, lo: x, hi: x} }

// add adds a number.
func (d *drift) add(a float64) {
	s := d.out + a
	b := s - d.out
	if lost := d.out - (s - b) + (a - b); lost != 0 { // what rounding took away
		ulp := math.Float64frombits(math.Float64bits(s)&(0x7ff<<52)) * 0x1p-52
		d.ties = d.ties || 2*math.Abs(lost) == ulp
	}
	d.out, d.lo, d.hi = s, min(d.lo, s), max(d.hi, s)
}

// then is the drift of both; known only if the second begins where the first ends.
func (d *drift) then(o *drift) drift {
	return drift{known: d.known && o.known && d.out == o.in, ties: d.ties || o.ties, in: d.in, out: o.out, lo: min(d.lo, o.lo), hi: max(d.hi, o.hi)}
}

// from begins the sums with x; ok is false where what they come to is not known.
func (d *drift) from(x float64) (out float64, ok bool) {
	if !d.known || x == d.in {
		return d.out, d.known
	}
	e, by := binade(d.lo), x-d.in
	lo, hi := d.lo+by, d.hi+by
	if e&0x7ff == 0 || d.ties || binade(d.hi) != e || binade(x) != e || binade(lo) != e || binade(hi) != e || isPower(lo) || isPower(hi) {
		return 0, false
	}
	d.in, d.out, d.lo, d.hi = x, d.out+by, lo, hi
	return d.out, true
}

// isPower reports whether the number is a power of two, or minus one.
func isPower(x float64) bool { return math.Float64bits(x)<<12 == 0 }

// binade is sign and exponent; the latter is 0 next to zero.
func binade(x float64) uint64 { return math.Float64bits(x) >> 52 }
