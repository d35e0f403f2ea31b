package rule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/signal"
)

var params = segment.Params{HalfLives: signal.HalfLives{Live: 600_000, Long: 7_200_000}, Kappa: 10, RefreshMS: 120_000, GapMS: 1_800_000}

func testTree(t testing.TB) *segment.Tree {
	t.Helper()
	tree, err := segment.NewTree(segment.NewCompiler(segment.NewSchema(nil), params), []segment.Spec{
		{Name: "high", When: "intent > 0.7", Children: []segment.Spec{{Name: "cart", When: "cart.items > 0"}, {Name: "phone", When: "linked"}}},
		{Name: "low", When: "intent > 0.1", Children: []segment.Spec{{Name: "phone", When: "linked"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// bench is a compiler of rules and what it is made from.
type bench struct {
	tree   *segment.Tree
	schema *segment.Schema
	c      *segment.Compiler
}

func newBench(t testing.TB) *bench {
	b := &bench{tree: testTree(t)}
	b.schema = segment.NewRuleSchema(nil, b.tree)
	b.c = segment.NewCompiler(b.schema, params)
	return b
}

func (b *bench) compile(t testing.TB, slots []Slot, specs ...Spec) *Set {
	t.Helper()
	s, err := Compile(b.c, slots, specs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// point is a visitor of the discretised space, by feature.
type point map[string]float64

const now = int64(1_700_000_000_000)

// view is the visitor as the rules see it: in an open session.
func (b *bench) view(p point) *segment.View {
	v := &segment.View{Last: now - int64(1000*p["idle_s"]), SessionEnd: now + 1, Linked: p["linked"] != 0, Devices: int(p["devices"]), Values: make([]float64, len(b.schema.Stored()))}
	for slot, f := range b.schema.Stored() {
		v.Values[slot] = p[f.Name]
	}
	return v
}

// condition is a text with the model of what it means.
type condition struct {
	text  string
	holds func(point) bool
}

// writer writes random conditions over a few features, each with its model.
type writer struct {
	r    *rand.Rand
	b    *bench
	axes []axis
}

// axis is a feature with the constants that conditions compare it with, and
// the points that tell all such comparisons apart.
type axis struct {
	name      string
	constants []float64
	points    []float64
}

var axes = []axis{
	{"segment", nil, []float64{0, 1, 2, 3, 4, 5}},
	{"device.type", nil, []float64{0, 1, 2, 3, 4, 5}},
	{"page.type", nil, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
	{"linked", nil, []float64{0, 1}},
	{"session.clicks", []float64{0, 1, 2}, []float64{0, 1, 2, 3}},             // whole
	{"scroll.depth", []float64{0, 0.5, 1}, []float64{0, 0.25, 0.5, 0.75, 1}},  // up to 1
	{"cart.value", []float64{0, 50, 100}, []float64{0, 25, 50, 75, 100, 125}}, // no end
	{"idle_s", []float64{1, 60}, []float64{0, 0.5, 1, 30, 60, 90}},            // moves
}

func (w *writer) condition(depth int) condition {
	if depth == 0 || w.r.IntN(5) == 0 {
		return w.atom()
	}
	a, b := w.condition(depth-1), w.condition(depth-1)
	switch w.r.IntN(5) {
	case 0:
		return condition{"!(" + a.text + ")", func(p point) bool { return !a.holds(p) }}
	case 1, 2:
		return condition{"(" + a.text + " || " + b.text + ")", func(p point) bool { return a.holds(p) || b.holds(p) }}
	}
	return condition{"(" + a.text + " && " + b.text + ")", func(p point) bool { return a.holds(p) && b.holds(p) }}
}

func (w *writer) atom() condition {
	x := w.axes[w.r.IntN(len(w.axes))]
	switch x.name {
	case "segment":
		return w.segments()
	case "linked":
		return condition{"linked", func(p point) bool { return p["linked"] != 0 }}
	case "device.type", "page.type":
		return w.names(x.name)
	}
	c := x.constants[w.r.IntN(len(x.constants))]
	ops := []string{"<", "<=", ">", ">=", "==", "!="}
	if x.name == "idle_s" {
		ops = ops[:4]
	}
	op := ops[w.r.IntN(len(ops))]
	return condition{fmt.Sprintf("%s %s %v", x.name, op, c), func(p point) bool {
		switch v := p[x.name]; op {
		case "<":
			return v < c
		case "<=":
			return v <= c
		case ">":
			return v > c
		case ">=":
			return v >= c
		case "==":
			return v == c
		default:
			return v != c
		}
	}}
}

// names compares an enumeration.
func (w *writer) names(name string) condition {
	enum := event.DeviceTypes[:]
	if name == "page.type" {
		enum = event.PageTypes[:]
	}
	a, b := w.r.IntN(len(enum)), w.r.IntN(len(enum))
	switch w.r.IntN(3) {
	case 0:
		return condition{fmt.Sprintf("%s == %q", name, enum[a]), func(p point) bool { return p[name] == float64(a) }}
	case 1:
		return condition{fmt.Sprintf("%s != %q", name, enum[a]), func(p point) bool { return p[name] != float64(a) }}
	}
	return condition{fmt.Sprintf("%s in [%q, %q]", name, enum[a], enum[b]), func(p point) bool { return p[name] == float64(a) || p[name] == float64(b) }}
}

var segmentNames = []string{"everyone", "high", "low", "phone", "cart", "high/phone"}

// below is the meaning of a segment's name: it ends the path of the served
// node, or of one above it.
func (w *writer) below(p point, name string) bool {
	for path := w.b.tree.Path(int(p["segment"])); path != ""; path = path[:max(0, strings.LastIndex(path, "/"))] {
		if path == name || strings.HasSuffix(path, "/"+name) {
			return true
		}
	}
	return false
}

func (w *writer) segments() condition {
	a, b := segmentNames[w.r.IntN(len(segmentNames))], segmentNames[w.r.IntN(len(segmentNames))]
	switch w.r.IntN(3) {
	case 0:
		return condition{fmt.Sprintf("segment == %q", a), func(p point) bool { return w.below(p, a) }}
	case 1:
		return condition{fmt.Sprintf("segment != %q", a), func(p point) bool { return !w.below(p, a) }}
	}
	return condition{fmt.Sprintf("segment in [%q, %q]", a, b), func(p point) bool { return w.below(p, a) || w.below(p, b) }}
}

// rule is a random rule that fills some of the slots, and its model.
func (w *writer) rule(name string, slots []Slot) (Spec, func(point) bool) {
	when := w.condition(w.r.IntN(4))
	spec := Spec{Name: name, When: when.text, Public: w.r.IntN(2) == 0}
	holds := when.holds
	if w.r.IntN(3) == 0 && slices.ContainsFunc(w.axes, func(x axis) bool { return x.name == "segment" }) {
		n := segmentNames[w.r.IntN(len(segmentNames))]
		spec.Source.Segments = []string{n}
		holds = func(p point) bool { return when.holds(p) && w.below(p, n) }
	}
	if w.r.IntN(3) == 0 && slices.ContainsFunc(w.axes, func(x axis) bool { return x.name == "device.type" }) {
		spec.Source.Devices = []string{"mobile", "tablet"}
		before := holds
		holds = func(p point) bool { return before(p) && (p["device.type"] == 2 || p["device.type"] == 3) }
	}
	for i := range slots {
		if i == 0 || w.r.IntN(3) == 0 {
			spec.Actions = append(spec.Actions, ActionSpec{Slot: slots[i].Name, Priority: w.r.IntN(3)})
		}
	}
	return spec, holds
}

// someAxes picks few axes, so that the space stays small.
func someAxes(r *rand.Rand, n int) []axis {
	out := []axis{axes[0]}
	for _, i := range r.Perm(len(axes) - 1)[:n-1] {
		out = append(out, axes[1+i])
	}
	return out
}

// anywhere reports whether a point of the space satisfies ok.
func anywhere(axes []axis, ok func(point) bool) bool {
	p := point{}
	var walk func(i int) bool
	walk = func(i int) bool {
		if i == len(axes) {
			return ok(p)
		}
		for _, x := range axes[i].points {
			if p[axes[i].name] = x; walk(i + 1) {
				return true
			}
		}
		return false
	}
	return walk(0)
}
