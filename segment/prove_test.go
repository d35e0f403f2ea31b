package segment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/cel-go/common/ast"

	"github.com/microseg/microseg/signal"
)

// Satisfiable asks one question with so many steps.
func Satisfiable(steps int, terms ...Term) (Witness, Answer) {
	p := prover{steps: steps}
	return p.ask(terms)
}

// grid is a discretised feature space: points of axes, chosen so that every
// region between the constants that proofs are about has one.
type grid struct {
	name   string
	points []float64
}

var (
	proofParams = Params{HalfLives: testParams.HalfLives, Kappa: 1, RefreshMS: 1, GapMS: 2000}
	edges       = []float64{0, 0.25, 0.5, 1, 2}
	reals       = []float64{0, 0.1, 0.25, 0.3, 0.5, 0.7, 1, 1.5, 2, 3}
	wholes      = []float64{0, 1, 2, 3}
	proofGrids  = []grid{
		{"live", nil}, {"signal_weight", []float64{math.NaN(), 0, 0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.8, 1}}, {"idle_s", reals},
		{"session.clicks", wholes}, {"dwell.total", reals}, {"cart.value", reals}, {"scroll.depth", []float64{0, 0.1, 0.25, 0.3, 0.5, 0.7, 1}},
		{"page.type", []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}, {"linked", []float64{0, 1}},
	}
)

// livePoints has the edges of intent to the float, and points between them.
func livePoints() []float64 {
	out := append([]float64(nil), reals...)
	for _, c := range edges {
		if c >= 1 {
			continue
		}
		x := -math.Log2(1 - c)
		for i := -3; i <= 3; i++ {
			y := x
			for range max(i, -i) {
				y = math.Nextafter(y, math.Inf(i))
			}
			out = append(out, math.Max(0, y))
		}
	}
	return append(out, 1.2, 5)
}

// sees lists the features that follow from an axis.
var sees = map[string][]string{"live": {"live", "intent"}, "signal_weight": {"signal_weight", "stale_share"}, "idle_s": {"idle_s", "session.open"}}

// assignment completes a point of some axes to a visitor: what follows from
// them, and nothing of the session when it is closed.
func assignment(s *Schema, p *Params, point map[string]float64) map[string]float64 {
	out := map[string]float64{}
	for name, x := range point {
		out[name] = x
	}
	out["intent"] = signal.Intent(out["live"], p.Kappa)
	out["stale_share"] = 1 - out["signal_weight"]
	open := out["idle_s"] < float64(p.GapMS)/1000
	for _, f := range s.Features() {
		if f.Session && !open {
			out[f.Name] = 0
		}
	}
	out["session.open"] = asNumber(open)
	return out
}

// TestProverEqualsBruteForce: what is Possible has a point on the grid and the
// witness is one; what is Never has none.
func TestProverEqualsBruteForce(t *testing.T) {
	t.Parallel()
	c := NewCompiler(NewSchema(nil), proofParams)
	answers := map[Answer]int{}
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 3))
		axes, names := someAxes(r)
		terms, exprs := randomTerms(t, r, c, names)
		w, answer := Satisfiable(DefaultSteps, terms...)
		answers[answer]++
		found := anyPoint(c, axes, exprs, terms)
		if found && answer != Possible || !found && answer == Possible {
			t.Fatalf("seed %d: answer %v, but a point exists: %v\n%s\nwitness %v", seed, answer, found, sources(terms), w)
		}
		if answer == Possible && !meets(c, witnessPoint(w), exprs, terms) {
			t.Fatalf("seed %d: the witness %v is none\n%s", seed, w, sources(terms))
		}
	}
	if answers[Possible] < 300 || answers[Never] < 100 || answers[Undecided] > 0 {
		t.Errorf("answers %v", answers)
	}
}

func someAxes(r *rand.Rand) (axes []grid, names []string) {
	for _, i := range r.Perm(len(proofGrids))[:3] {
		g := proofGrids[i]
		if g.name == "live" {
			g.points = livePoints()
		}
		axes = append(axes, g)
		if also := sees[g.name]; also != nil {
			names = append(names, also...)
		} else {
			names = append(names, g.name)
		}
	}
	return axes, names
}

func randomTerms(t *testing.T, r *rand.Rand, c *Compiler, names []string) (terms []Term, exprs []ast.Expr) {
	w := writer{r: r, s: c.schema, p: &c.params, plain: true, edges: edges}
	for _, n := range names {
		w.features = append(w.features, c.schema.Feature(n))
	}
	for range 1 + r.IntN(4) {
		p, err := c.Compile(w.condition(r.IntN(3)))
		if err != nil {
			t.Fatal(err)
		}
		a, _ := c.check(p.Source)
		terms = append(terms, Term{p, r.IntN(3) > 0})
		exprs = append(exprs, a.NativeRep().Expr())
	}
	return terms, exprs
}

func meets(c *Compiler, point map[string]float64, exprs []ast.Expr, terms []Term) bool {
	m := model{schema: c.schema, params: c.params, fixed: assignment(c.schema, &c.params, point)}
	for i, e := range exprs {
		if m.truth(e) != terms[i].Holds {
			return false
		}
	}
	return true
}

func anyPoint(c *Compiler, axes []grid, exprs []ast.Expr, terms []Term) bool {
	point := map[string]float64{}
	var walk func(i int) bool
	walk = func(i int) bool {
		if i == len(axes) {
			return meets(c, point, exprs, terms)
		}
		for _, x := range axes[i].points {
			if point[axes[i].name] = x; walk(i + 1) {
				return true
			}
		}
		return false
	}
	return walk(0)
}

// witnessPoint reads a witness as a point of the axes.
func witnessPoint(w Witness) map[string]float64 {
	out := map[string]float64{}
	for _, a := range w {
		x := a.Value
		if a.Undefined {
			x = math.NaN()
		}
		switch a.Feature.Name {
		case "intent":
			if _, ok := out["live"]; !ok {
				out["live"] = liveOf(x)
			}
		case "stale_share":
			out["signal_weight"] = 1 - x
		case "session.open":
			if _, ok := out["idle_s"]; !ok {
				out["idle_s"] = 2000 * (1 - x)
			}
		default:
			out[a.Feature.Name] = x
		}
	}
	return out
}

// liveOf is a live sum with just that intent.
func liveOf(intent float64) float64 {
	x, _ := firstFloat(func(x float64) bool { return signal.Intent(x, proofParams.Kappa) >= intent })
	return x
}

func sources(terms []Term) string {
	var b strings.Builder
	for _, t := range terms {
		fmt.Fprintf(&b, "%v: %s\n", t.Holds, t.Predicate.Source)
	}
	return b.String()
}

func TestSatisfiable(t *testing.T) {
	t.Parallel()
	c := testCompiler()
	for src, want := range map[string]Answer{
		"intent > 0.75 && live < 20.0":                                 Never, // 0.75 is reached at 20
		"intent > 0.75 && live < 20.1":                                 Possible,
		"intent >= 1.0":                                                Never,
		"signal_weight > 0.3 && stale_share > 0.7":                     Never,
		"signal_weight < 0.3 && stale_share > 0.7":                     Possible,
		"!(signal_weight > 0.3) && !(signal_weight <= 0.3)":            Possible, // undefined
		"session.clicks > 3 && session.clicks < 4":                     Never,    // counts are whole
		"cart.items > 3 && cart.items < 4":                             Possible, // 3.5 kg
		"scroll.depth > 1.0":                                           Never,
		"dwell.comparison >= 90 && idle_s >= 1800":                     Never, // the session is over by then
		"dwell.comparison >= 90 && idle_s >= 1799":                     Possible,
		"!session.open && page.type == \"cart\"":                       Never,
		"!session.open && page.type == \"unknown\"":                    Possible,
		"!session.open && cart.value > 0":                              Possible,
		"device.type == \"mobile\" && device.type in [\"tv\",\"bot\"]": Never,
		"live + long > 5 && !(live + long > 5)":                        Possible, // arithmetic is not looked into
		"linked && !linked":                                            Never,
		"false":                                                        Never,
	} {
		p, err := c.Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		if w, a := Satisfiable(DefaultSteps, Term{p, true}); a != want {
			t.Errorf("%s: %v, want %v (%v)", src, a, want, w)
		}
	}
}

// TestSatisfiableGivesUp: more pigeons than holes need a case for every way to
// put them; that is found out before long.
func TestSatisfiableGivesUp(t *testing.T) {
	t.Parallel()
	c := testCompiler()
	for pigeons, want := range map[int]Answer{2: Never, 3: Never, 7: Undecided} {
		p, err := c.Compile(pigeonhole(c.schema, pigeons))
		if err != nil {
			t.Fatal(err)
		}
		if _, a := Satisfiable(DefaultSteps/10, Term{p, true}); a != want {
			t.Errorf("%d pigeons: %v, want %v", pigeons, a, want)
		}
	}
}

// pigeonhole says that each pigeon sits in one of the holes, one fewer, and
// no two in the same. A feature above 0 is a pigeon in a hole.
func pigeonhole(s *Schema, pigeons int) string {
	var names, all []string
	for _, f := range s.Features() {
		if f.Enum == nil && f.kind < 0 {
			names = append(names, f.Name)
		}
	}
	sits := func(pigeon, hole int) string { return names[(pigeon*(pigeons-1)+hole)%len(names)] }
	for i := range pigeons {
		var one []string
		for h := range pigeons - 1 {
			one = append(one, sits(i, h)+" > 0")
			for j := range i {
				all = append(all, fmt.Sprintf("(%s <= 0 || %s <= 0)", sits(i, h), sits(j, h)))
			}
		}
		all = append(all, "("+strings.Join(one, " || ")+")")
	}
	return strings.Join(all, " && ")
}

// TestCheckIsQuick: many siblings are no trouble while each comes down to few
// comparisons, and nothing takes forever.
func TestCheckIsQuick(t *testing.T) {
	t.Parallel()
	c := testCompiler()
	var specs []Spec
	for i := range 150 {
		specs = append(specs, Spec{Name: fmt.Sprint("s", i), When: fmt.Sprintf("intent >= %d/1000 && intent < %d/1000 && (linked || cart.items > %d)", i, i+1, i)})
	}
	specs = append(specs, Spec{Name: "last", When: "linked && intent < 0.1"})
	tree, err := NewTree(c, specs)
	if err != nil {
		t.Fatal(err)
	}
	found := tree.Check(DefaultSteps)
	if len(found) != 1 || found[0].Kind != Unreachable || len(found[0].By) != 100 {
		t.Errorf("%v", found)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	c := testCompiler()
	tree, err := NewTree(c, []Spec{
		{Name: "high", When: "intent > 0.75", Children: []Spec{
			{Name: "cold", When: "live < 10.0"},
			{Name: "rich", When: "cart.value > 100"},
			{Name: "richer", When: "cart.value > 200 && linked", Children: []Spec{{Name: "silent", When: "false"}}},
			{Name: "phone", When: "device.type == \"mobile\""},
		}},
		{Name: "guest", When: "!linked && intent > 0.5"},
		{Name: "member", When: "linked && intent > 0.5"},
		{Name: "warm", When: "intent > 0.6"},
		{Name: "sum", When: "live + long > 5.0"},
		{Name: "rest", When: "true", Children: []Spec{{Name: "keen", When: "intent > 0.7"}}},
		{Name: "last", When: "live >= 0.0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range tree.Check(DefaultSteps) {
		s := fmt.Sprintf("%s %d", strings.TrimPrefix(tree.Path(f.Node), "everyone/"), f.Kind)
		for _, b := range f.By {
			s += " " + tree.Node(b).Name
		}
		got = append(got, s)
	}
	want := []string{"high/cold 0", "high/richer 1 rich", "warm 1 guest member", "rest/keen 1 guest member", "last 1 rest"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func BenchmarkCheck(b *testing.B) {
	c := testCompiler()
	a, _ := c.Compile("intent > 0.75 && (cart.items > 0 || dwell.comparison >= 90)")
	d, _ := c.Compile("idle_s < 60 || linked")
	for b.Loop() {
		Satisfiable(DefaultSteps, Term{a, true}, Term{d, false})
	}
}
