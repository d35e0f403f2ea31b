package rule

import (
	"errors"
	"strings"
	"testing"

	"github.com/microseg/microseg/segment"
)

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := []ActionSpec{{Slot: "a"}}
	for name, c := range map[string]struct {
		specs []Spec
		want  string
	}{
		"when":           {[]Spec{{Name: "x", When: "linked &&\n  intend > 1", Actions: a}}, "rule x: when: 2:3: there is no feature intend; did you mean intent?"},
		"when, sourced":  {[]Spec{{Name: "x", Source: Source{Pages: []string{"cart"}}, When: "linked)", Actions: a}}, "rule x: when: 1:7: nothing is open that this ) closes"},
		"no condition":   {[]Spec{{Name: "x", When: "intent", Actions: a}}, "rule x: when: 1:1: the condition gives a number"},
		"segment":        {[]Spec{{Name: "x", Source: Source{Segments: []string{"low", "hi"}}, Actions: a}}, `rule x: source.segments[1]: there is no segment "hi"; it is one of everyone, high, cart, phone, low`},
		"page":           {[]Spec{{Name: "x", Source: Source{Pages: []string{"shop"}}, Actions: a}}, `rule x: source.pages[0]: page.type is never "shop"; it is one of unknown, home,`},
		"device":         {[]Spec{{Name: "x", Source: Source{Devices: []string{"mobile", "\xff\") || linked"}}, Actions: a}}, `rule x: source.devices[1]: device.type is never`},
		"slot":           {[]Spec{{Name: "x", Actions: []ActionSpec{{Slot: "c"}}}}, `rule x: actions[0].slot: there is no slot "c"; it is one of a, b`},
		"slot, twice":    {[]Spec{{Name: "x", Actions: []ActionSpec{{Slot: "a"}, {Slot: "a"}}}}, "rule x: actions[1].slot: the rule fills slot a twice"},
		"name":           {[]Spec{{Name: "x", Actions: a}, {Name: "x", Actions: a}}, `rule x: name: another rule is called "x" too`},
		"gives for free": {[]Spec{{Name: "x", Public: true, Gives: true, Actions: a}}, "rule x: gives: a public rule believes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, err := Compile(b.c, twoSlots, c.specs)
			var re *Error
			if set != nil || !errors.As(err, &re) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
	_, err := Compile(b.c, twoSlots, []Spec{{Name: "x", When: "1", Source: Source{Pages: []string{"p", "q"}}}, {Name: "y", When: "2"}})
	if many, ok := err.(interface{ Unwrap() []error }); !ok || len(many.Unwrap()) != 4 {
		t.Errorf("want four errors, got %v", err)
	}
}

// FuzzWhen: any condition is refused with its place, or can be decided,
// explained and proved.
func FuzzWhen(f *testing.F) {
	b := newBench(f)
	for _, s := range []string{"", "segment == \"high\"", "segment != \"everyone\" || linked", "segment in [\"low\", \"high/phone\"] && cart.value / cart.items > 3",
		"page.dwell_s > 120 && scroll.depth > 0.6 && form.submits == 0", "// nothing", "true) || (true", "segment in []"} {
		f.Add(s, "high")
	}
	slots := []Slot{{Name: "a", Edge: true}}
	v := b.view(point{"segment": 3})
	f.Fuzz(func(t *testing.T, when, name string) {
		if len(when) > 500 || len(name) > 100 {
			return
		}
		set, err := Compile(b.c, slots, []Spec{{Name: "x", When: when, Source: Source{Segments: []string{name}}, Actions: []ActionSpec{{Slot: "a"}}}, {Name: "y", Actions: []ActionSpec{{Slot: "a"}}}})
		if err != nil {
			if re := (*Error)(nil); !errors.As(err, &re) || re.Rule != "x" {
				t.Fatalf("not placed: %v", err)
			}
			if ce := (*segment.CompileError)(nil); errors.As(err, &ce) && (ce.Line < 1 || ce.Column < 1) {
				t.Fatalf("no place: %v", err)
			}
			return
		}
		if won, next := set.Decide(v, now, nil, nil); len(won) != 1 || next <= now {
			t.Fatalf("%v until %d", names(won), next)
		}
		set.Rules()[0].Why(v, now)
		set.Outcomes(v, now)
		set.Check(100)
	})
}
