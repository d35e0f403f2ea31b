package segment

import (
	"math/rand/v2"
	"testing"
)

const testNow = int64(1_700_000_000_000)

// forRandom calls fn with random conditions over random views.
func forRandom(t *testing.T, seeds uint64, depth int, plain bool, fn func(r *rand.Rand, c *Compiler, p *Predicate, v *View, now int64)) {
	t.Helper()
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 7))
		params := randomParams(r)
		c := NewCompiler(NewSchema(testElements), params)
		for range 40 {
			now := testNow + r.Int64N(1e9)
			v := randomView(r, c.schema, &params, now)
			w := writer{r: r, s: c.schema, p: &params, v: v, now: now, features: c.schema.Features(), plain: plain}
			p, err := c.Compile(w.condition(depth))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			fn(r, c, p, v, now)
			if t.Failed() {
				t.Fatalf("seed %d: %s\nat %d, params %+v\nview %+v", seed, p.Source, now, params, v)
			}
		}
	}
}

// TestLoweredEqualsModel: closures and interpreter agree, now and later,
// unless a comparison is within 1e-9 of going the other way.
func TestLoweredEqualsModel(t *testing.T) {
	t.Parallel()
	compared := 0
	forRandom(t, 60, 3, false, func(r *rand.Rand, c *Compiler, p *Predicate, v *View, now int64) {
		for range 4 {
			want, margin := modelOf(c, p.Source, v, now)
			got, next := p.Eval(v, now)
			if got != p.Value(v, now) {
				t.Errorf("Eval says %v, Value %v", got, !got)
			}
			if margin > 1e-9 {
				compared++
				if got != want {
					t.Errorf("at %d: %v, the model says %v (margin %v)", now, got, want, margin)
				}
			}
			if next <= now {
				t.Errorf("at %d: next is %d", now, next)
			}
			now += r.Int64N(1 + r.Int64N(60*minute))
		}
	})
	if compared < 3000 {
		t.Errorf("only %d comparisons were clear", compared)
	}
}

// TestLoweredEqualsCEL: where a condition stands still and everything is
// defined, cel-go itself gives the same answer.
func TestLoweredEqualsCEL(t *testing.T) {
	t.Parallel()
	compared := 0
	forRandom(t, 25, 3, true, func(r *rand.Rand, c *Compiler, p *Predicate, v *View, now int64) {
		if _, defined := c.schema.Feature("signal_weight").Value(v, now, &c.params); !defined {
			return
		}
		a, _ := c.check(p.Source)
		prg, err := c.env.Program(a)
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := prg.Eval(celValues(c, v, now))
		if err != nil {
			return // 0/0, which cel-go refuses to compare
		}
		compared++
		if got := p.Value(v, now); out.Value() != got {
			t.Errorf("%v, cel-go says %v", got, out)
		}
	})
	if compared < 700 {
		t.Errorf("only %d conditions were compared", compared)
	}
}

func celValues(c *Compiler, v *View, now int64) map[string]any {
	out := map[string]any{}
	for _, f := range c.schema.Features() {
		x, _ := f.Value(v, now, &c.params)
		switch {
		case f.Enum != nil:
			out[f.Name] = f.Enum[int(x)]
		case f.Bool:
			out[f.Name] = x != 0
		default:
			out[f.Name] = x
		}
	}
	return out
}

// TestNextOfAtoms: next is the first millisecond at which the atom's own value
// differs: nothing happens before, looked at millisecond by millisecond where
// it is near and at random where it is far, and never means never.
func TestNextOfAtoms(t *testing.T) {
	t.Parallel()
	turned := 0
	forRandom(t, 250, 0, true, func(r *rand.Rand, _ *Compiler, p *Predicate, v *View, now int64) {
		if _, ok := p.root.(*general); ok {
			return
		}
		ok, next := p.Eval(v, now)
		if next != never {
			turned++
			if p.Value(v, next) == ok {
				t.Errorf("next is %d, %d ms on, but still %v", next, next-now, ok)
			}
		}
		constantUntil(t, r, p, v, now, next, ok)
	})
	if turned < 2000 {
		t.Errorf("only %d atoms turned", turned)
	}
}

// TestNextOfConditions: a condition is constant until its next.
func TestNextOfConditions(t *testing.T) {
	t.Parallel()
	forRandom(t, 200, 3, true, func(r *rand.Rand, _ *Compiler, p *Predicate, v *View, now int64) {
		for range 6 {
			ok, next := p.Eval(v, now)
			constantUntil(t, r, p, v, now, next, ok)
			if next == never {
				return
			}
			now = next
		}
	})
}

// constantUntil checks that p is ok on (now, next).
func constantUntil(t *testing.T, r *rand.Rand, p *Predicate, v *View, now, next int64, ok bool) {
	t.Helper()
	span := min(next-now, 1<<45)
	look := func(at int64) {
		if at > now && at < next && p.Value(v, at) != ok {
			t.Errorf("was %v at %d, next %d ms on, but %v after %d ms", ok, now, next-now, !ok, at-now)
		}
	}
	for d := int64(1); d < min(span, 300); d++ {
		look(now + d)
		look(next - d)
	}
	for range 60 {
		look(now + r.Int64N(1+r.Int64N(1+span)))
	}
	look(v.SessionEnd)
	look(v.SessionEnd + 1)
}

// TestGrid: what has no closed form is looked at on a grid aligned to the epoch.
func TestGrid(t *testing.T) {
	t.Parallel()
	c := testCompiler()
	v := &View{SessionEnd: testNow + 3*minute, Last: testNow - 27*minute, Values: make([]float64, len(c.schema.Stored()))}
	for src, want := range map[string]int64{
		"idle_s + live > 5":                floorDiv(testNow, 2*minute)*2*minute + 2*minute,
		"live > long":                      floorDiv(testNow, 2*minute)*2*minute + 2*minute,
		"dwell.total > session.duration_s": testNow + 3*minute,
		"cart.value / cart.items > 5":      never,
		"idle_s > 60 * 30":                 testNow + 3*minute + 1,
	} {
		p, err := c.Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		if _, next := p.Eval(v, testNow); next != want {
			t.Errorf("%s: next is %d, want %d", src, next, want)
		}
	}
	if floorDiv(-1, 10) != -1 || floorDiv(-10, 10) != -1 || floorDiv(9, 10) != 0 {
		t.Error("the grid is not aligned before the epoch")
	}
}
