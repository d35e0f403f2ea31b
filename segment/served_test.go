package segment

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/session"
)

// servedTree has a name that two nodes have, and one that another ends with.
func servedTree(t testing.TB) *Tree {
	t.Helper()
	tree, err := NewTree(testCompiler(), []Spec{
		{Name: "high", When: "intent > 0.7", Children: []Spec{
			{Name: "cart", When: "cart.items > 0", Children: []Spec{{Name: "big", When: "cart.value > 100"}}},
			{Name: "phone", When: "device.type == \"mobile\""},
		}},
		{Name: "super_high", When: "intent > 0.6"},
		{Name: "low", When: "intent > 0.1", Children: []Spec{{Name: "phone", When: "device.type == \"mobile\""}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func servedCompiler(t testing.TB) (*Compiler, *Tree) {
	tree := servedTree(t)
	return NewCompiler(NewRuleSchema(testElements, tree), testParams), tree
}

func TestServedSegment(t *testing.T) {
	t.Parallel()
	c, tree := servedCompiler(t)
	const everywhere = "everyone high cart big phone super_high low phone"
	for src, want := range map[string]string{
		`segment == "high"`:                      "high cart big phone",
		`segment == "cart"`:                      "cart big",
		`segment == "high/cart"`:                 "cart big",
		`"everyone/high/cart" == segment`:        "cart big",
		`segment == "phone"`:                     "phone phone",
		`segment == "low/phone"`:                 "phone",
		`segment == "everyone"`:                  everywhere,
		`segment != "everyone"`:                  "",
		`segment != "high"`:                      "everyone super_high low phone",
		`!(segment != "high")`:                   "high cart big phone",
		`segment in ["big", "low"]`:              "big low phone",
		`segment in ["low", "phone"]`:            "phone low phone",
		`segment in []`:                          "",
		`segment == "high" && segment != "cart"`: "high phone",
	} {
		p, err := c.Compile(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		var got []string
		v := &View{Values: make([]float64, len(c.schema.Stored()))}
		for id := range tree.Len() {
			if v.Values[c.schema.SegmentSlot()] = float64(id); p.Value(v, 0) {
				got = append(got, tree.Node(id).Name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s holds for %q, want %q", src, got, want)
		}
	}
}

func TestServedSegmentRefuses(t *testing.T) {
	t.Parallel()
	c, _ := servedCompiler(t)
	for src, want := range map[string]string{
		`linked && segment == "hi"`:     `1:22: there is no segment "hi"; it is one of everyone, high, cart, big, phone, super_high, low`,
		`segment in ["high", "a/cart"]`: `1:21: there is no segment "a/cart"; it is one of`,
		`segment == ""`:                 `there is no segment ""`,
		`segment == "/high"`:            `there is no segment "/high"`,
		`segment < "high"`:              "1:9: segment has no order; use ==, != or in",
		`segment == 1`:                  "== does not work on string, number",
		`segment == device.type`:        "segment is not a number",
		`segmemt == "high"`:             "did you mean segment?",
		`segment`:                       "the condition gives a string",
		`segment + "a" == "high"`:       "",
		`segment in ["high", linked]`:   "",
	} {
		if _, err := c.Compile(src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", src, err, want)
		}
	}
	if _, err := testCompiler().Compile(`segment == "high"`); err == nil {
		t.Error("segments know the served segment")
	}
	if got := NewSchema(nil).SegmentSlot(); got != -1 {
		t.Errorf("slot %d without a tree", got)
	}
}

// TestServedSegmentIsShown: people read paths, never numbers.
func TestServedSegmentIsShown(t *testing.T) {
	t.Parallel()
	c, tree := servedCompiler(t)
	p, err := c.Compile(`segment == "cart" && linked`)
	if err != nil {
		t.Fatal(err)
	}
	if w, a := Satisfiable(DefaultSteps, Term{p, true}); a != Possible || w.String() != "linked = true, segment = everyone/high/cart" {
		t.Errorf("%v, witness %s", a, w)
	}
	v := &View{Values: make([]float64, len(c.schema.Stored()))}
	id, _ := tree.Find("everyone/high/cart/big")
	v.Values[c.schema.SegmentSlot()] = float64(id)
	got := p.Explain(v, 0)[0]
	if got.Name != "everyone/high/cart/big" || !got.Holds || got.Feature != "segment" {
		t.Errorf("explained as %+v", got)
	}
}

// TestServedPage: the request's page counts although no session is open.
func TestServedPage(t *testing.T) {
	t.Parallel()
	c, _ := servedCompiler(t)
	p, err := c.Compile(`page.type == "cart"`)
	if err != nil {
		t.Fatal(err)
	}
	v := &View{Values: make([]float64, len(c.schema.Stored())), SessionEnd: 5}
	v.Values[session.SlotPageType] = float64(slices.Index(c.schema.Feature("page.type").Enum, "cart"))
	if ok, next := p.Eval(v, 10); !ok || next != never {
		t.Errorf("%v, %d", ok, next)
	}
	if !NewSchema(nil).Feature("page.type").Session {
		t.Error("page.type of segments outlives the session")
	}
}

// TestSegmentProofs: proofs about names are as exact as about anything else:
// each answer is that of trying every node.
func TestSegmentProofs(t *testing.T) {
	t.Parallel()
	c, tree := servedCompiler(t)
	names := []string{"everyone", "high", "cart", "big", "phone", "super_high", "low", "low/phone"}
	r := rand.New(rand.NewPCG(7, 7))
	name := func() string { return fmt.Sprintf("%q", names[r.IntN(len(names))]) }
	for range 3000 {
		var terms []Term
		for range 1 + r.IntN(4) {
			src := "segment " + []string{"== ", "!= "}[r.IntN(2)] + name()
			if r.IntN(3) == 0 {
				src = "segment in [" + name() + ", " + name() + "]"
			}
			p, err := c.Compile(src)
			if err != nil {
				t.Fatal(err)
			}
			terms = append(terms, Term{p, r.IntN(2) == 0})
		}
		any := false
		v := &View{Values: make([]float64, len(c.schema.Stored()))}
		meets := func(id int) bool {
			v.Values[c.schema.SegmentSlot()] = float64(id)
			return !slices.ContainsFunc(terms, func(t Term) bool { return t.Predicate.Value(v, 0) != t.Holds })
		}
		for id := range tree.Len() {
			any = any || meets(id)
		}
		w, a := Satisfiable(DefaultSteps, terms...)
		if any != (a == Possible) || a == Undecided {
			t.Fatalf("%v, but %v\n%s", a, any, sources(terms))
		}
		if len(w) > 0 && !meets(int(w[0].Value)) {
			t.Fatalf("the witness %v is none\n%s", w, sources(terms))
		}
	}
}

func TestAll(t *testing.T) {
	t.Parallel()
	c, _ := servedCompiler(t)
	compile := func(src string) *Predicate {
		p, err := c.Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	none := All()
	if ok, next := none.Eval(&View{}, 1); !ok || next != never || none.Source != "true" || none.Arithmetic() {
		t.Errorf("of none: %v, %d, %s", ok, next, none.Source)
	}
	p := All(compile("linked || devices > 1"), compile("linked && session.duration_s > 5 && cart.age_s > 1 && page.type == \"cart\" && segment != \"low\""), compile("cart.value / cart.items > 20"))
	if p.Source != `(linked || devices > 1) && (linked && session.duration_s > 5 && cart.age_s > 1 && page.type == "cart" && segment != "low") && (cart.value / cart.items > 20)` {
		t.Error(p.Source)
	}
	if !p.Arithmetic() || len(p.Features) != 8 {
		t.Errorf("arithmetic %v, %d features", p.Arithmetic(), len(p.Features))
	}
	want := []session.Slot{session.SlotStart, session.SlotPageType, session.SlotCartItems, session.SlotCartValue, session.SlotCartChanged}
	if got := p.Slots(); !slices.Equal(got, want) {
		t.Errorf("slots %v, want %v", got, want)
	}
}

// TestOutcomes: up to 64 comparisons are told apart exactly; many more by a hash
// that differs as soon as one outcome does.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	c, _ := servedCompiler(t)
	request := func(f *Feature) bool { return f.Name == "segment" || f.Name == "page.type" }
	var ps []*Predicate
	for _, src := range []string{"cart.items > 1 && !(cart.value < 5)", "linked || cart.items > 1 || cart.value * 2 > cart.items",
		"intent > 0.5 && idle_s > 3 && live + cart.items > 3 && segment == \"low\" && page.type == \"cart\" && device.type in [\"mobile\"]"} {
		p, err := c.Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	tr := NewOutcomes(request, ps...)
	if tr.Len() != 5 { // items, value, linked, the product, device
		t.Errorf("%d comparisons", tr.Len())
	}
	v := &View{Values: make([]float64, len(c.schema.Stored())-1), SessionEnd: minute}
	seen := map[uint64]bool{tr.Of(v, 0): true}
	for _, change := range []func(){
		func() { v.Values[session.SlotCartItems] = 2 }, func() { v.Values[session.SlotCartValue] = 9 }, func() { v.Linked = true },
		func() { v.Values[session.SlotDevice] = 2 },
	} {
		if change(); seen[tr.Of(v, 0)] {
			t.Error("a change is not seen")
		}
		seen[tr.Of(v, 0)] = true
	}
	before := tr.Of(v, 0)
	v.Live.Sum, v.Last, v.Values[session.SlotPageType] = 99, -9000, 3
	if tr.Of(v, 0) != before {
		t.Error("what moves with time, or is the request's, is seen")
	}
}

func TestOutcomesBeyondAWord(t *testing.T) { // not parallel: it counts allocations
	c := testCompiler()
	var src []string
	for i := range 200 {
		src = append(src, fmt.Sprintf("cart.value > %d", i))
	}
	p, err := c.Compile(strings.Join(src, " || "))
	if err != nil {
		t.Fatal(err)
	}
	tr := NewOutcomes(func(*Feature) bool { return false }, p)
	v := &View{Values: make([]float64, len(c.schema.Stored()))}
	seen := map[uint64]bool{}
	for i := range 201 {
		v.Values[session.SlotCartValue] = float64(i)
		seen[tr.Of(v, 0)] = true
	}
	if tr.Len() != 200 || len(seen) != 201 {
		t.Errorf("%d comparisons, %d fingerprints", tr.Len(), len(seen))
	}
	if n := testing.AllocsPerRun(10, func() { tr.Of(v, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestFewest: one that is enough, the last such, or a set that cannot be less.
func TestFewest(t *testing.T) {
	t.Parallel()
	has := func(want ...int) func([]int) bool {
		return func(got []int) bool {
			return !slices.ContainsFunc(want, func(w int) bool { return !slices.Contains(got, w) })
		}
	}
	if got := Fewest([]int{1, 2, 3, 2, 4}, has(2)); !slices.Equal(got, []int{2}) {
		t.Error(got)
	}
	if got := Fewest([]int{1, 2, 3, 4}, has(4, 1)); !slices.Equal(got, []int{1, 4}) {
		t.Error(got)
	}
}

func BenchmarkOutcomes(b *testing.B) {
	c := testCompiler()
	var src []string
	for i := range 20 {
		src = append(src, fmt.Sprintf("cart.value > %d", i))
	}
	p, err := c.Compile(strings.Join(src, " || "))
	if err != nil {
		b.Fatal(err)
	}
	tr := NewOutcomes(func(*Feature) bool { return false }, p)
	v := &View{Values: make([]float64, len(c.schema.Stored()))}
	b.ReportAllocs()
	for b.Loop() {
		tr.Of(v, 0)
	}
}
