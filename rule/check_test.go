package rule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/segment"
)

var twoSlots = []Slot{{Name: "a"}, {Name: "b"}}

// TestCheckEqualsBruteForce: conflicts, rules that never fire and rules that
// never win are those that trying every visitor of a small space finds, and
// witnesses are visitors for whom both rules hold.
func TestCheckEqualsBruteForce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	kinds := map[FindingKind]int{}
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 11))
		w := writer{r: r, b: b, axes: someAxes(r, 3)}
		var specs []Spec
		var models []func(point) bool
		for i := range 2 + r.IntN(5) {
			spec, m := w.rule(fmt.Sprint("r", i), twoSlots)
			specs, models = append(specs, spec), append(models, m)
		}
		set := b.compile(t, twoSlots, specs...)
		got := verdicts(set.Check(segment.DefaultSteps))
		if want := bruteForce(set, w.axes, models); !slices.Equal(got, want) {
			t.Fatalf("seed %d\n%+v\ngot  %q\nwant %q", seed, specs, got, want)
		}
		for _, f := range set.Check(segment.DefaultSteps) {
			kinds[f.Kind]++
			verify(t, b, set, models, f)
		}
	}
	if kinds[Conflict] < 300 || kinds[NeverFires] < 30 || kinds[Shadowed] < 100 || kinds[Undecidable]+kinds[CannotBeProved] > 0 {
		t.Errorf("findings %v", kinds)
	}
}

func verdicts(findings []Finding) (out []string) {
	for _, f := range findings {
		s := fmt.Sprintf("%s.%d kind %d", f.Rule.Name, f.Action, f.Kind)
		if f.Kind == Conflict {
			s += " " + f.Others[0].Name
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func bruteForce(set *Set, space []axis, models []func(point) bool) (out []string) {
	fires := make([]bool, len(models))
	for i, m := range models {
		if fires[i] = anywhere(space, m); !fires[i] {
			out = append(out, fmt.Sprintf("r%d.-1 kind %d", i, NeverFires))
		}
	}
	for i, r := range set.Rules() {
		for k, a := range r.Actions {
			var above []func(point) bool
			for j, o := range set.Rules() {
				at := slices.IndexFunc(o.Actions, func(x *Action) bool { return x.Slot == a.Slot })
				if at < 0 || j == i {
					continue
				}
				p := o.Actions[at].Priority
				if p == a.Priority && j < i && anywhere(space, func(p point) bool { return models[i](p) && models[j](p) }) {
					out = append(out, fmt.Sprintf("r%d.%d kind %d r%d", i, k, Conflict, j))
				}
				if p > a.Priority && (o.Public || !r.Public) {
					above = append(above, models[j])
				}
			}
			left := func(p point) bool {
				return models[i](p) && !slices.ContainsFunc(above, func(m func(point) bool) bool { return m(p) })
			}
			if fires[i] && !anywhere(space, left) {
				out = append(out, fmt.Sprintf("r%d.%d kind %d", i, k, Shadowed))
			}
		}
	}
	slices.Sort(out)
	return out
}

// verify evaluates a witness: by the models, and as a visitor by the rules.
func verify(t *testing.T, b *bench, set *Set, models []func(point) bool, f Finding) {
	t.Helper()
	if f.Kind != Conflict {
		return
	}
	p := point{}
	for _, a := range f.Witness {
		p[a.Feature.Name] = a.Value
	}
	for _, r := range []*Rule{f.Rule, f.Others[0]} {
		if !models[r.Index](p) || !r.When.Value(b.view(p), now) {
			t.Fatalf("%s does not hold for the witness %v: %s", r.Name, f.Witness, r.When.Source)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	slots := []Slot{{Name: "a"}, {Name: "edge", Edge: true}}
	on := func(slot string, priority int) []ActionSpec { return []ActionSpec{{Slot: slot, Priority: priority}} }
	for name, c := range map[string]struct {
		specs []Spec
		want  string
	}{
		"conflict": {[]Spec{{Name: "x", When: "linked", Actions: on("a", 1)}, {Name: "y", Source: Source{Segments: []string{"cart"}}, When: "cart.value > 5", Actions: on("a", 1)}},
			"0 y x [linked = true, cart.value = 6, segment = everyone/high/cart]"},
		"siblings exclude each other":        {[]Spec{{Name: "x", Source: Source{Segments: []string{"high"}}, Actions: on("a", 1)}, {Name: "y", Source: Source{Segments: []string{"low"}}, Actions: on("a", 1)}}, ""},
		"another priority":                   {[]Spec{{Name: "x", When: "linked", Actions: on("a", 1)}, {Name: "y", Actions: on("a", 0)}}, ""},
		"another slot":                       {[]Spec{{Name: "x", When: "linked", Actions: on("a", 1)}, {Name: "y", Source: Source{Segments: []string{"cart"}}, Actions: on("edge", 1)}}, ""},
		"whoever is above is served instead": {[]Spec{{Name: "x", When: `segment == "cart" && cart.items == 0`, Actions: on("a", 1)}}, ""},
		"arithmetic":                         {[]Spec{{Name: "x", When: "cart.value / cart.items > 5", Actions: on("a", 1)}, {Name: "y", When: "linked", Actions: on("a", 1)}}, "1 y x [linked = true]"},
		"arithmetic that does not matter":    {[]Spec{{Name: "x", When: "linked && cart.value / cart.items > 5", Actions: on("a", 1)}, {Name: "y", When: "!linked", Actions: on("a", 1)}}, ""},
		"never":                              {[]Spec{{Name: "x", Source: Source{Pages: []string{"cart"}}, When: `page.type == "home"`, Actions: on("a", 1)}}, "2 x"},
		"never conflicts":                    {[]Spec{{Name: "x", When: "false", Actions: on("a", 1)}, {Name: "y", When: "linked", Actions: on("a", 1)}, {Name: "z", Actions: on("a", 0)}}, "2 x"},
		"shadowed by one":                    {[]Spec{{Name: "x", When: "cart.value > 5", Actions: on("a", 2)}, {Name: "w", When: "linked", Actions: on("a", 3)}, {Name: "y", When: "cart.value > 6", Actions: on("a", 1)}}, "3 y x"},
		"shadowed by two":                    {[]Spec{{Name: "x", When: "cart.value > 5", Actions: on("a", 3)}, {Name: "w", When: "linked", Actions: on("a", 4)}, {Name: "v", When: "cart.value < 6", Actions: on("a", 2)}, {Name: "y", Actions: on("a", 1)}}, "3 y x v"},
		"for a claim there is another":       {[]Spec{{Name: "x", Gives: true, Actions: on("a", 2)}, {Name: "y", Public: true, Actions: on("a", 1)}}, ""},
		"no claim is needed":                 {[]Spec{{Name: "x", Public: true, Actions: on("a", 2)}, {Name: "y", Gives: true, Actions: on("a", 1)}}, "3 y x"},
		"live at the edge":                   {[]Spec{{Name: "x", Source: Source{Pages: []string{"cart"}, Devices: []string{"mobile"}}, When: "segment == \"low\" && (linked || idle_s < 5)", Actions: on("edge", 1)}}, "4 x linked,idle_s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, f := range b.compile(t, slots, c.specs...).Check(segment.DefaultSteps) {
				s := fmt.Sprint(f.Kind, " ", f.Rule.Name)
				for _, o := range f.Others {
					s += " " + o.Name
				}
				if f.Witness != nil {
					s += " [" + f.Witness.String() + "]"
				}
				if f.Features != nil {
					s += " " + strings.Join(f.Features, ",")
				}
				got = append(got, s)
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestCheckGivesUp: too many cases are said to be that, and a conflict that
// cannot be ruled out is one.
func TestCheckGivesUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	on := func(p int) []ActionSpec { return []ActionSpec{{Slot: "a", Priority: p}} }
	var pigeons []string // four of them in three holes
	holes := []string{"session.clicks", "session.events", "orders", "cart.value", "dwell.cart", "dwell.home", "dwell.list", "dwell.other", "screen.width", "screen.height", "video.starts", "form.starts"}
	for i := range 4 {
		var one []string
		for h := range 3 {
			one = append(one, holes[3*i+h]+" > 0")
			for j := range i {
				pigeons = append(pigeons, fmt.Sprintf("(%s <= 0 || %s <= 0)", holes[3*i+h], holes[3*j+h]))
			}
		}
		pigeons = append(pigeons, "("+strings.Join(one, " || ")+")")
	}
	set := b.compile(t, twoSlots, Spec{Name: "x", When: "linked", Actions: on(2)}, Spec{Name: "w", When: "devices > 1", Actions: on(1)}, Spec{Name: "y", When: strings.Join(pigeons, " && "), Actions: on(1)})
	if got := verdicts(set.Check(20)); !slices.Equal(got, []string{"y.-1 kind 5", "y.0 kind 1", "y.0 kind 5"}) {
		t.Errorf("%q", got)
	}
	if got := verdicts(set.Check(segment.DefaultSteps)); !slices.Equal(got, []string{"y.-1 kind 2"}) {
		t.Errorf("%q", got)
	}
}

// TestCheckIsQuick: many rules on a slot are no trouble, be they of one
// priority and exclude each other or of many and overlap.
func TestCheckIsQuick(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var specs []Spec
	for i := range 150 {
		specs = append(specs, Spec{Name: fmt.Sprint("e", i), When: fmt.Sprintf("cart.value >= %d && cart.value < %d && (linked || idle_s < 5)", i, i+1), Actions: []ActionSpec{{Slot: "a"}}},
			Spec{Name: fmt.Sprint("p", i), When: fmt.Sprintf("cart.value > %d && (linked || idle_s < 5)", i), Actions: []ActionSpec{{Slot: "b", Priority: i}}})
	}
	specs = append(specs, Spec{Name: "last", When: "linked && cart.value < 100", Actions: []ActionSpec{{Slot: "a", Priority: -1}, {Slot: "b", Priority: -1}}})
	found := b.compile(t, twoSlots, specs...).Check(segment.DefaultSteps)
	if len(found) != 1 || found[0].Kind != Shadowed || len(found[0].Others) != 100 {
		t.Errorf("%d findings, the first %+v", len(found), found[:min(1, len(found))])
	}
}
