package segment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

const minute = int64(60_000)

var (
	testElements = []string{"price", "features"}
	testParams   = Params{HalfLives: signal.HalfLives{Live: 600_000, Long: 7_200_000}, Kappa: 10, RefreshMS: 2 * minute, GapMS: 30 * minute}
)

func testCompiler() *Compiler { return NewCompiler(NewSchema(testElements), testParams) }

// randomParams are constants of all sizes.
func randomParams(r *rand.Rand) Params {
	live := math.Floor(math.Exp(r.Float64()*14 + 7)) // a second to 15 days
	return Params{HalfLives: signal.HalfLives{Live: live, Long: math.Ceil(live * (1.1 + r.ExpFloat64()*10))},
		Kappa: math.Exp(r.NormFloat64() * 3), RefreshMS: 1 + r.Int64N(5*minute), GapMS: 1 + r.Int64N(60*minute)}
}

// randomView is a person around now, at times with a session closed, without a
// cart or without any weight.
func randomView(r *rand.Rand, s *Schema, p *Params, now int64) *View {
	v := &View{Last: now - r.Int64N(1+r.Int64N(2*p.GapMS)), Linked: r.IntN(2) == 0, Devices: 1 + r.IntN(3), Values: make([]float64, len(s.Stored()))}
	v.SessionEnd = v.Last + p.GapMS
	if r.IntN(4) == 0 {
		v.SessionEnd -= r.Int64N(p.GapMS) // another device's session closes first
	}
	if r.IntN(8) > 0 {
		v.Live = signal.Decayed{Sum: math.Exp(r.NormFloat64() * 3), Ref: v.Last}
		v.Long = signal.Decayed{Sum: v.Live.Sum * (1 + r.ExpFloat64()*3), Ref: v.Last - r.Int64N(1000)*r.Int64N(2)}
	}
	for slot, f := range s.Stored() {
		switch {
		case r.IntN(3) == 0:
		case f.Enum != nil:
			v.Values[slot] = float64(r.IntN(len(f.Enum)))
		case session.Slot(slot) == session.SlotStart:
			v.Values[slot] = float64(v.Last - r.Int64N(10*minute))
		case session.Slot(slot) == session.SlotCartChanged:
			v.Values[slot] = float64(v.Last - r.Int64N(10*minute))
		default:
			v.Values[slot] = float64(r.IntN(8)) / 4
		}
	}
	return v
}

// writer writes random conditions.
type writer struct {
	r        *rand.Rand
	s        *Schema
	p        *Params
	v        *View
	now      int64
	features []*Feature
	edges    []float64 // constants are of these, if there are any
	plain    bool      // no arithmetic on what changes with time
}

func (w *writer) condition(depth int) string {
	if depth == 0 {
		return w.atom()
	}
	switch w.r.IntN(8) {
	case 0:
		return w.atom()
	case 1:
		return "!(" + w.condition(depth-1) + ")"
	case 2:
		return [2]string{"true", "false"}[w.r.IntN(2)]
	case 3, 4, 5:
		return "(" + w.condition(depth-1) + " && " + w.condition(depth-1) + ")"
	}
	return "(" + w.condition(depth-1) + " || " + w.condition(depth-1) + ")"
}

func (w *writer) pick() *Feature { return w.features[w.r.IntN(len(w.features))] }

// atom is a comparison; the constant is often the value that the feature has
// now or soon, so that its crossing is worth looking at.
func (w *writer) atom() string {
	f := w.pick()
	switch {
	case f.Bool:
		return []string{f.Name, "!" + f.Name, f.Name + " == true", f.Name + " != false"}[w.r.IntN(4)]
	case f.Enum != nil:
		if w.r.IntN(2) == 0 {
			return fmt.Sprintf("%s in [%s, %s]", f.Name, w.name(f), w.name(f))
		}
		return f.Name + []string{" == ", " != "}[w.r.IntN(2)] + w.name(f)
	}
	op := []string{" < ", " <= ", " > ", " >= ", " == ", " != "}[w.r.IntN(6)]
	if f.Varies() {
		op = []string{" < ", " <= ", " > ", " >= "}[w.r.IntN(4)]
	}
	if w.edges == nil && !f.Varies() && w.r.IntN(8) == 0 || !w.plain && w.r.IntN(8) == 0 {
		return w.arithmetic(f)
	}
	if w.r.IntN(4) == 0 {
		return w.constant(f) + op + f.Name
	}
	return f.Name + op + w.constant(f)
}

func (w *writer) arithmetic(f *Feature) string {
	g := w.pick()
	for g.Bool || g.Enum != nil || w.plain && g.Varies() {
		g = w.pick()
	}
	return f.Name + []string{" + ", " - ", " * ", " / "}[w.r.IntN(4)] + g.Name + []string{" < ", " >= "}[w.r.IntN(2)] + w.constant(f)
}

func (w *writer) name(f *Feature) string { return strconv.Quote(f.Enum[w.r.IntN(len(f.Enum))]) }

func (w *writer) constant(f *Feature) string {
	if w.edges != nil {
		return strconv.FormatFloat(w.edges[w.r.IntN(len(w.edges))], 'f', 3, 64)
	}
	at := w.now
	switch w.r.IntN(4) {
	case 0:
		at += w.r.Int64N(2000)
	case 1:
		at += w.r.Int64N(1 + w.r.Int64N(10*minute))
	case 2:
		at += w.r.Int64N(1 + w.r.Int64N(1e10))
	}
	x, _ := f.Value(w.v, at, w.p)
	switch w.r.IntN(12) {
	case 0:
		x = 0
	case 1:
		x = 1
	case 2:
		x = math.Nextafter(x, 2)
	case 3:
		x *= 1 + 1e-13*w.r.Float64()
	case 4:
		x = w.r.Float64() * 2
	case 5:
		x = math.Round(x)
	}
	s := strconv.FormatFloat(x, 'e', -1, 64)
	if !strings.Contains(s, ".") {
		s = strings.Replace(s, "e", ".0e", 1)
	}
	return s
}
