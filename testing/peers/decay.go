package peers

import "math"

// Half-lives, and what the two languages must compute to the same bit: Go's and Java's
// own exponentials differ in the last place. Products are converted to float64 so that
// no compiler fuses them with a sum.
const (
	liveHalfLife = 10 * 60_000.0     // ms
	longHalfLife = 2 * 60 * 60_000.0 // ms
	kappa        = 10.0
	steps        = 32 // of the table between 1 and 1/2
)

// halves holds 2^(-k/steps).
var halves = func() (t [steps]float64) {
	root := 0.5
	for bit := steps / 2; bit > 0; bit /= 2 {
		root = math.Sqrt(root) // exact to the last bit in both languages
		for k := range steps {
			if t[k] == 0 {
				t[k] = 1
			}
			if k&bit != 0 {
				t[k] *= root
			}
		}
	}
	return t
}()

// half is 2^-x for x >= 0, within 1e-12.
func half(x float64) float64 {
	if x >= 1000 {
		return 0
	}
	n := int64(x)
	f := (x - float64(n)) * steps
	k := int64(f)
	y := (f - float64(k)) * (math.Ln2 / steps)
	// e^-y, where y is at most ln 2/32.
	p := 1 - float64(y*(1-float64(y/2*(1-float64(y/3*(1-float64(y/4*(1-y/5))))))))
	return halves[k] * p * math.Float64frombits(uint64(1023-n)<<52)
}
