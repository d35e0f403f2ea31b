package segment

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

func shopTree(t testing.TB) *Tree {
	t.Helper()
	zero, fifth := 0., 0.2
	tree, err := NewTree(testCompiler(), []Spec{
		{Name: "high", When: "intent > 0.75 || cart.items > 0", Children: []Spec{
			{Name: "abandoner", When: "cart.items > 0 && idle_s >= 60", MinAudience: &zero},
			{Name: "phone", When: "device.type == \"mobile\"", MinAudience: &fifth},
		}},
		{Name: "low", When: "intent > 0.05"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func shopper(live float64) *View {
	c := testCompiler()
	return &View{Live: signal.Decayed{Sum: live, Ref: testNow}, Long: signal.Decayed{Sum: live, Ref: testNow}, Last: testNow,
		SessionEnd: testNow + 30*minute, Devices: 1, Values: make([]float64, len(c.schema.Stored()))}
}

func TestTree(t *testing.T) {
	t.Parallel()
	tree := shopTree(t)
	want := []string{"everyone", "everyone/high", "everyone/high/abandoner", "everyone/high/phone", "everyone/low"}
	for id, path := range want {
		if at, ok := tree.Find(path); tree.Path(id) != path || !ok || at != id || tree.Node(id).ID != id {
			t.Errorf("node %d is %s, found at %d", id, tree.Path(id), at)
		}
	}
	if _, ok := tree.Find("everyone/no"); ok || tree.Len() != 5 {
		t.Error("a node too many")
	}
	if !reflect.DeepEqual(tree.Ancestors(3), []int{0, 1, 3}) || !reflect.DeepEqual(tree.Children(1), []int{2, 3}) {
		t.Error("ancestors or children are wrong")
	}
	for _, c := range []struct {
		from, to      int
		left, entered []int
	}{{-1, 3, nil, []int{0, 1, 3}}, {3, 2, []int{3}, []int{2}}, {2, 4, []int{2, 1}, []int{4}}, {1, 1, nil, nil}, {2, -1, []int{2, 1, 0}, nil}, {0, 1, nil, []int{1}}} {
		if l, e := tree.Changes(c.from, c.to); fmt.Sprint(l, e) != fmt.Sprint(c.left, c.entered) {
			t.Errorf("from %d to %d: left %v, entered %v", c.from, c.to, l, e)
		}
	}
	_, err := NewTree(testCompiler(), []Spec{{Name: "a", When: "true", Children: []Spec{{Name: "b", When: "intent >"}}}})
	var ne *NodeError
	if !errors.As(err, &ne) || ne.Path != "everyone/a/b" {
		t.Errorf("got %v", err)
	}
	if ce := (*CompileError)(nil); !errors.As(err, &ce) {
		t.Errorf("%v wraps no CompileError", err)
	}
}

// TestDecide follows a cart through its day without another event: to the
// abandoner after a minute, out of it only with an event.
func TestDecide(t *testing.T) {
	t.Parallel()
	tree, v := shopTree(t), shopper(25)
	v.Values[session.SlotCartItems] = 1
	id, next := tree.Decide(v, testNow)
	if id != 1 || next != testNow+60_000 {
		t.Errorf("at once: %s, next %d", tree.Path(id), next-testNow)
	}
	if id, next = tree.Decide(v, next); id != 2 || next != never {
		t.Errorf("after a minute: %s, next %d", tree.Path(id), next)
	}
	// Without the cart it cools down: below 0.75 at a live sum of 20.
	v = shopper(25)
	id, next = tree.Decide(v, testNow)
	if d := next - testNow; id != 1 || d != 193_157 { // 600 s · log2(25/20)
		t.Errorf("keen: %s, next %d", tree.Path(id), d)
	}
	if id, _ = tree.Decide(v, next-1); id != 1 {
		t.Error("left too early")
	}
	if id, _ = tree.Decide(v, next); id != 4 {
		t.Error("left too late")
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	tree, v := shopTree(t), shopper(25)
	if n := testing.AllocsPerRun(100, func() { tree.Decide(v, testNow) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	tree, v := shopTree(t), shopper(5)
	v.Values[session.SlotCartItems] = 1
	v.Values[session.SlotDevice] = 2
	got := tree.Explain(v, testNow)
	if len(got) != 3 || got[0].Node != 1 || !got[0].Holds || got[1].Node != 2 || got[1].Holds || got[2].Node != 3 || !got[2].Holds {
		t.Fatalf("%+v", got)
	}
	idle := got[1].Conditions[1]
	if idle != (Condition{Text: "idle_s >= 60.0", Next: testNow + 60_000, Feature: "idle_s", Defined: true}) {
		t.Errorf("%+v", idle)
	}
	if c := got[2].Conditions[0]; c.Name != "mobile" || !c.Holds || c.Text != `device.type == "mobile"` {
		t.Errorf("%+v", c)
	}
	p, err := testCompiler().Compile("!(live * 2.0 > long || page.type in [\"cart\", \"home\"]) && linked")
	if err != nil {
		t.Fatal(err)
	}
	if c := p.Explain(v, testNow); len(c) != 3 || c[1].Text != "page.type in [\"cart\", \"home\"]" || c[2].Value != 10 || !c[2].Holds {
		t.Errorf("%+v", c)
	}
}

func TestActivation(t *testing.T) {
	t.Parallel()
	tree := shopTree(t)
	a := NewActivation(tree, 0.12, 0.02, 200)
	if !reflect.DeepEqual(a.Active, []bool{true, false, true, false, false}) {
		t.Fatalf("at first: %v", a.Active)
	}
	for i, c := range []struct {
		counts []int
		want   []Flip
	}{
		{[]int{199, 199, 0, 0, 0}, nil},                               // too few to say
		{[]int{200, 24, 0, 24, 23}, []Flip{{1, true}}},                // 12 % is enough, 11.5 % is not; phone needs 20 %
		{[]int{200, 20, 0, 40, 20}, []Flip{{3, true}}},                // 10 % is not below 10 %
		{[]int{199, 0, 0, 0, 100}, nil},                               // states stay
		{[]int{1000, 99, 0, 180, 120}, []Flip{{1, false}, {4, true}}}, // 18 % of phones stay
		{[]int{1000, 179, 0, 179, 0}, []Flip{{1, true}, {3, false}, {4, false}}},
	} {
		if got := a.Decide(c.counts, c.counts[0]); !reflect.DeepEqual(got, c.want) {
			t.Errorf("minute %d: %v, want %v", i, got, c.want)
		}
	}
	var copied Activation
	if data, err := json.Marshal(a); err != nil || json.Unmarshal(data, &copied) != nil || !reflect.DeepEqual(*a, copied) {
		t.Errorf("not serialisable: %v", err)
	}
}

// TestWhy: every verdict in the words that people read.
func TestWhy(t *testing.T) {
	t.Parallel()
	small := 0.005
	zero := 0.0
	tree, err := NewTree(testCompiler(), []Spec{{Name: "a", When: "intent > 0.9"}, {Name: "b", When: "intent > 0.8", Exempt: "answers a trigger", MinAudience: &zero},
		{Name: "c", When: "intent > 0.7", MinAudience: &small}, {Name: "d", When: "intent > 0.6", MinAudience: &zero}})
	if err != nil {
		t.Fatal(err)
	}
	a := NewActivation(tree, 0.12, 0.02, 200)
	for i, c := range []struct {
		node, members, total int
		active               bool
		want                 string
	}{
		{0, 5, 5, true, "exempt: everyone is always served"},
		{1, 3, 5, false, "3 of 5 active visitors; 200 are needed before anything changes"},
		{1, 3, 5, true, "stays active: 3 of 5 active visitors; 200 are needed before anything changes"},
		{1, 43, 785, false, "5.5 % of 785 active visitors; 12 % are needed"},
		{1, 147, 785, true, "18.7 % of 785 active visitors; 12 % are needed"},
		{1, 110, 1000, true, "stays active: 11.0 % of 1000 active visitors; pruned below 10 %"},
		{1, 110, 1000, false, "11.0 % of 1000 active visitors; 12 % are needed, 10 % only to stay active"},
		{2, 0, 0, true, "exempt: answers a trigger"},
		{3, 4, 1000, false, "0.4 % of 1000 active visitors; 0.5 % are needed, 0 % only to stay active"},
		{4, 0, 0, true, "exempt: its min_audience is 0"},
	} {
		a.Active[c.node] = c.active
		if got := a.Why(tree, c.node, c.members, c.total); got != c.want {
			t.Errorf("%d: %q, want %q", i, got, c.want)
		}
	}
	if got := NewActivation(tree, 0, 0, 0).Why(tree, 1, 0, 0); got != "exempt: audience.activate is 0" {
		t.Error(got)
	}
	if got := NewActivation(tree, 0.12, 0, 0).Why(tree, 1, 0, 0); got != "0 of 0 active visitors; 1 is needed before anything changes" {
		t.Error(got)
	}
}

// TestServed: an inactive ancestor does not hide an active, exempt descendant.
func TestServed(t *testing.T) {
	t.Parallel()
	tree := shopTree(t)
	a := NewActivation(tree, 0.12, 0.02, 0)
	for node, want := range []int{0, 0, 2, 0, 0} {
		if got := tree.Served(node, a.Active); got != want {
			t.Errorf("of %d: %d, want %d", node, got, want)
		}
	}
	if a.Decide(make([]int, 5), 0) != nil {
		t.Error("nobody decides nothing")
	}
	a.Active[1] = true
	if tree.Served(3, a.Active) != 1 || tree.Served(2, a.Active) != 2 {
		t.Error("the deepest active node is served")
	}
}

func BenchmarkEval(b *testing.B) {
	c := testCompiler()
	v := shopper(25)
	v.Values[session.SlotCartItems], v.Values[session.SlotCartChanged] = 1, float64(testNow-5000)
	for _, src := range []string{"dwell.total >= 90", "device.type in [\"mobile\", \"tablet\"]", "idle_s >= 60", "intent > 0.75", "signal_weight > 0.3",
		"live > 0.0", "live + long > 3.0"} {
		p, err := c.Compile(src)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(src, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Eval(v, testNow+int64(i&1023))
			}
		})
	}
}
