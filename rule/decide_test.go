package rule

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

// TestDecideEqualsModel: of each slot the winner is the first that holds of a
// list sorted by priority and file, whatever is allowed, alone or with the
// other slots; and before next nothing changes.
func TestDecideEqualsModel(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	slots := []Slot{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	won, changed := 0, 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 5))
		w := writer{r: r, b: b, axes: axes}
		var specs []Spec
		var models []func(point) bool
		for i := range 1 + r.IntN(10)*r.IntN(9) { // also beyond what the memo holds
			spec, m := w.rule(fmt.Sprint("r", i), slots)
			if seed%2 == 0 && r.IntN(2) == 0 { // an offer, of two names, of some or all of its actions
				spec.Offer = fmt.Sprint("o", r.IntN(2))
				for j := range spec.Actions {
					if j == 0 || r.IntN(2) == 0 {
						spec.Actions[j].Deadline = time.Minute
					}
				}
			}
			specs, models = append(specs, spec), append(models, m)
		}
		set := b.compile(t, slots, specs...)
		p := point{}
		for _, x := range axes {
			p[x.name] = x.points[r.IntN(len(x.points))]
		}
		allowed := func(a *Action) bool { return (a.Rule.Index+a.SlotID)%3 != 1 }
		if r.IntN(2) == 0 {
			allowed = nil
		}
		got, next := set.Decide(b.view(p), now, allowed, nil)
		want := naive(set, models, p, allowed)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, %v\ngot  %v\nwant %v", seed, p, names(got), names(want))
		}
		won += len(got)
		for id := range slots {
			if seed%2 == 0 { // one slot alone knows nothing of offers in others
				break
			}
			one, ok, at := set.DecideSlot(id, b.view(p), now, allowed)
			if i := slices.IndexFunc(want, func(w Winner) bool { return w.Action.SlotID == id }); ok != (i >= 0) || ok && one != want[i] || at < next {
				t.Fatalf("seed %d: slot %d alone gives %v until %d, all until %d", seed, id, one, at, next)
			}
		}
		if next <= now {
			t.Fatalf("next is %d, now %d", next, now)
		}
		v := b.view(p)
		v.SessionEnd = math.MaxInt64 // so that time moves idle_s alone, as the models have it
		_, next = set.Decide(v, now, allowed, nil)
		for _, at := range []int64{now + 1, now + 500, now + 29_999, now + 59_999, next - 1, next} {
			if at <= now || at == math.MaxInt64 || at == math.MaxInt64-1 {
				continue
			}
			p["idle_s"] = float64(at-v.Last) / 1000
			later := naive(set, models, p, allowed)
			if at < next && !slices.Equal(later, got) {
				t.Fatalf("seed %d: the winners change before %d", seed, next)
			}
			if at == next && !slices.Equal(later, got) {
				changed++
			}
		}
	}
	if won < 1000 || changed < 50 {
		t.Errorf("%d slots won, %d changed in time", won, changed)
	}
}

// naive sorts and looks.
func naive(set *Set, models []func(point) bool, p point, allowed func(*Action) bool) (out []Winner) {
	for id := range set.Slots() {
		var best *Action
		for i, r := range set.Rules() {
			for _, a := range r.Actions {
				if a.SlotID == id && (allowed == nil || allowed(a)) && (a.Offer == "" || !strings.Contains(fmt.Sprint(names(out)), "("+a.Offer+")")) && models[i](p) && (best == nil || a.Priority > best.Priority) {
					best = a
				}
			}
		}
		if best != nil {
			out = append(out, Winner{best})
		}
	}
	return out
}

func names(list []Winner) (out []string) {
	for _, w := range list {
		out = append(out, w.Action.Slot+":"+w.Action.Rule.Name+"("+w.Action.Offer+")")
	}
	return out
}

// TestDecideAllocates: nothing, where out has room.
func TestDecideAllocates(t *testing.T) {
	b := newBench(t)
	set := b.compile(t, twoSlots, Spec{Name: "x", When: "idle_s < 60 && segment == \"high\"", Actions: []ActionSpec{{Slot: "a"}, {Slot: "b"}}},
		Spec{Name: "y", Actions: []ActionSpec{{Slot: "b", Priority: -1}}})
	v, out := b.view(point{"segment": 1}), make([]Winner, 0, 2)
	allowed := func(a *Action) bool { return !a.Rule.Gives }
	if n := testing.AllocsPerRun(100, func() { out, _ = set.Decide(v, now, allowed, out[:0]); set.Outcomes(v, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if len(out) != 2 {
		t.Errorf("%v", names(out))
	}
}

func TestWhyStoredTruths(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	set := b.compile(t, twoSlots, Spec{Name: "x", Source: Source{Segments: []string{"high"}, Pages: []string{"cart"}}, When: "cart.value > 5 || idle_s > 60 && cart.age_s > 10",
		Actions: []ActionSpec{{Slot: "a"}}})
	v := b.view(point{"segment": 2, "page.type": 6, "cart.value": 4})
	var got []string
	for _, c := range set.Rules()[0].Why(v, now) {
		got = append(got, fmt.Sprintf("%s: %v %s", c.Text, c.Holds, c.Name))
	}
	want := []string{`segment in ["high"]: true everyone/high/cart`, `page.type in ["cart"]: true cart`, "cart.value > 5.0: false ", "idle_s > 60.0: false ", "cart.age_s > 10.0: false "}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := set.Stored(); !slices.Equal(got, []session.Slot{session.SlotPageType, session.SlotCartValue, session.SlotCartChanged}) {
		t.Errorf("stored %v", got)
	}
	before := set.Outcomes(v, now)
	v.Values[session.SlotPageType], v.Values[b.schema.SegmentSlot()], v.Last = 1, 0, 0
	if set.Outcomes(v, now) != before {
		t.Error("the request, the segment or time is seen")
	}
	if v.Values[session.SlotCartValue] = 6; set.Outcomes(v, now) == before {
		t.Error("the cart's value is not seen")
	}
	if id, ok := set.Slot("b"); !ok || id != 1 {
		t.Errorf("slot b is %d, %v", id, ok)
	}
	if _, ok := set.Slot("c"); ok {
		t.Error("there is a slot c")
	}
}

// BenchmarkDecide decides like the shipped rules: a dozen over six slots.
func BenchmarkDecide(b *testing.B) {
	t := newBench(b)
	set, v := benchRules(b, t)
	var out []Winner
	b.ReportAllocs()
	for b.Loop() {
		out, _ = set.Decide(v, now, nil, out[:0])
	}
}

func BenchmarkTruths(b *testing.B) {
	t := newBench(b)
	set, v := benchRules(b, t)
	b.ReportAllocs()
	for b.Loop() {
		set.Outcomes(v, now)
	}
}

func benchRules(b *testing.B, t *bench) (*Set, *segment.View) {
	var slots []Slot
	var specs []Spec
	for i := range 12 {
		if i < 6 {
			slots = append(slots, Slot{Name: fmt.Sprint("s", i)})
		}
		specs = append(specs, Spec{Name: fmt.Sprint("r", i), Source: Source{Segments: []string{segmentNames[i%len(segmentNames)]}},
			When: fmt.Sprintf("cart.value > %d && scroll.depth > 0.6 && idle_s >= %d", i*10, i), Actions: []ActionSpec{{Slot: fmt.Sprint("s", i%6), Priority: i}}})
	}
	return t.compile(b, slots, specs...), t.view(point{"segment": 2, "cart.value": 75, "scroll.depth": 0.7, "idle_s": 5})
}
