package oracle

import (
	"math"
	"testing"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// TestSumsOfAPersonWithAFuture: a visitor logged out, came back, and the identify that
// linked the new visit was held back: the person was evaluated at its time, eight seconds
// before the newest event of that visit. The oracle weighed the former visit eight seconds
// earlier than the new one, and the record seemed to be 0.0029 short.
func TestSumsOfAPersonWithAFuture(t *testing.T) {
	t.Parallel()
	const at, newest = 1_795_838_215_577, 1_795_838_223_795
	h := config.Default().SegmentParams().HalfLives
	visit := func(sum float64, ref int64) *Part {
		d := signal.Decayed{Sum: sum, Ref: ref}
		return &Part{Device: "d", Fold: &session.Profile{Live: d, Long: d}}
	}
	p := &Person{res: &Result{cfg: config.Default()}, parts: []*Part{visit(1.2, at-1_161_291), visit(1.6, newest), visit(0, newest+5)}}
	for _, when := range []int64{at - 9000, at, newest, newest + 60_000} {
		age := float64(max(when, newest))
		live, long := p.Sums(when)
		for _, c := range []struct{ got, half float64 }{{live, h.Live}, {long, h.Long}} {
			want := 1.2*math.Exp2(-(age-(at-1_161_291))/c.half) + 1.6*math.Exp2(-(age-newest)/c.half)
			if math.Abs(c.got-want) > 1e-9 {
				t.Errorf("at %d with a half-life of %v: %v, want %v", when, c.half, c.got, want)
			}
		}
	}
}
