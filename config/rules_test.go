package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

func shippedRules(t testing.TB) (*rule.Set, *segment.Tree, *segment.Schema) {
	t.Helper()
	c := Default()
	tree, err := c.SegmentTree()
	if err != nil {
		t.Fatal(err)
	}
	set, err := c.RuleSet(tree)
	if err != nil {
		t.Fatal(err)
	}
	return set, tree, segment.NewRuleSchema(c.Elements, tree)
}

// TestShippedRules: who is shown what by the rules that come with microseg.
func TestShippedRules(t *testing.T) {
	set, tree, schema := shippedRules(t)
	const now = 1_000_000_000
	page := func(p event.PageType) map[session.Slot]float64 {
		return map[session.Slot]float64{session.SlotPageType: float64(p)}
	}
	with := func(m map[session.Slot]float64, more ...float64) map[session.Slot]float64 {
		for i := 0; i < len(more); i += 2 {
			m[session.Slot(more[i])] = more[i+1]
		}
		return m
	}
	reads := func(p event.PageType, dwell, depth, submits float64) map[session.Slot]float64 {
		return with(page(p), float64(session.SlotPageDwell), dwell, float64(session.SlotScrollDepth), depth, float64(session.SlotFormSubmits), submits)
	}
	device, network, velocity := float64(session.SlotDevice), float64(session.SlotNetwork), float64(session.SlotScrollVelocity)
	mobile, slow := float64(event.DeviceMobile), float64(event.Network3G)
	proved := func(*rule.Action) bool { return true }
	claimed := func(a *rule.Action) bool { return a.Rule.Public }
	for name, c := range map[string]struct {
		segment string
		values  map[session.Slot]float64
		allowed func(*rule.Action) bool
		want    string
	}{
		"reads on":                {"everyone", reads(event.PageProduct, 121, 0.61, 0), proved, "banner:category_banner"},
		"reads on in the cart":    {"everyone", reads(event.PageCart, 121, 0.61, 0), proved, "banner:category_banner"},
		"reads on at checkout":    {"everyone", reads(event.PageCheckout, 121, 0.61, 0), proved, "banner:category_banner"},
		"reads on elsewhere":      {"everyone", reads(event.PageContent, 121, 0.61, 0), proved, ""},
		"two minutes":             {"everyone", reads(event.PageProduct, 120, 0.61, 0), proved, ""},
		"60 percent":              {"everyone", reads(event.PageProduct, 121, 0.6, 0), proved, ""},
		"submitted":               {"everyone", reads(event.PageProduct, 121, 0.61, 1), proved, ""},
		"a word is not enough":    {"everyone", reads(event.PageProduct, 121, 0.61, 0), claimed, ""},
		"slow phone":              {"everyone", with(page(event.PageList), device, mobile, network, slow), claimed, "layout:light_layout"},
		"slow desktop":            {"everyone", with(page(event.PageList), device, 1, network, slow), claimed, ""},
		"slow scrolling":          {"everyone", with(page(event.PageList), device, mobile, velocity, 0.4), claimed, "motion:calm_motion"},
		"fast scrolling":          {"everyone", with(page(event.PageList), device, mobile, velocity, 0.5), claimed, ""},
		"no scrolling":            {"everyone", with(page(event.PageList), device, mobile), claimed, ""},
		"analyzer":                {"everyone/high_intent/price_sensitive_analyzer", page(event.PageComparison), proved, "overlay:analyzer_overlay sidebar:comparison_tips"},
		"analyzer, medium":        {"everyone/medium_intent/price_sensitive_analyzer", page(event.PageComparison), proved, "overlay:analyzer_overlay sidebar:comparison_tips"},
		"analyzer by word":        {"everyone/medium_intent/price_sensitive_analyzer", page(event.PageComparison), claimed, "sidebar:comparison_tips"},
		"price sensitive":         {"everyone/high_intent/price_sensitive", page(event.PageList), proved, "overlay:price_overlay"},
		"cart abandoner":          {"everyone/high_intent/cart_abandoner", page(event.PageList), proved, "banner:cart_banner"},
		"cart abandoner, reading": {"everyone/high_intent/cart_abandoner", reads(event.PageProduct, 121, 0.61, 0), proved, "banner:cart_banner"},
		"cart abandoner at home":  {"everyone/high_intent/cart_abandoner", page(event.PageHome), proved, "banner:cart_banner hero:cart_hero"},
		"the same by word":        {"everyone/high_intent/cart_abandoner", page(event.PageHome), claimed, "hero:high_hero"},
		"high ticket":             {"everyone/high_intent/high_ticket_retarget", page(event.PageList), proved, "banner:high_ticket_banner"},
		"medium at home":          {"everyone/medium_intent", page(event.PageHome), claimed, "hero:medium_hero"},
		"low at home":             {"everyone/low_intent/mobile_3g", page(event.PageHome), claimed, "hero:low_hero"},
		"anyone at home":          {"everyone", page(event.PageHome), claimed, "hero:welcome_hero"},
	} {
		t.Run(name, func(t *testing.T) {
			v := &segment.View{SessionEnd: math.MaxInt64, Last: now, Values: make([]float64, len(schema.Stored()))}
			for slot, x := range c.values {
				v.Values[slot] = x
			}
			id, ok := tree.Find(c.segment)
			if !ok {
				t.Fatalf("there is no %s", c.segment)
			}
			v.Values[schema.SegmentSlot()] = float64(id)
			won, _ := set.Decide(v, now, c.allowed, nil)
			var got []string
			for _, w := range won {
				got = append(got, w.Action.Slot+":"+w.Action.Rule.Name)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	for _, f := range set.Check(segment.DefaultSteps) {
		t.Errorf("finding %+v", f)
	}
}

// TestShippedTemplates: every action's HTML is inert, carries its countdown and
// shows what a visitor wrote as text.
func TestShippedTemplates(t *testing.T) {
	ts, err := Default().RuleTemplates()
	if err != nil {
		t.Fatal(err)
	}
	countdowns := 0
	for _, r := range Default().RuleSpecs() {
		for _, a := range r.Actions {
			for _, deadline := range []int64{0, 1_700_000_000_000} {
				got, err := ts.Render(a.Template, rule.TemplateData{Data: a.Data, DeadlineMS: deadline, CountdownS: int64(a.Deadline / time.Second), Category: "<b>x</b>", Product: "<i>y</i>"})
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(got, "<b>") || strings.Contains(got, "<i>") || !strings.Contains(got, `class="ms-`) || strings.Contains(got, "ZgotmplZ") {
					t.Errorf("rule %s:\n%s", r.Name, got)
				}
				want := fmt.Sprintf(`data-ms-countdown="%d"`, a.Deadline/time.Second)
				if deadline > 0 {
					want = fmt.Sprintf(`data-ms-deadline="%d"`, deadline)
				}
				if has := strings.Contains(got, want); has != (a.Deadline > 0) {
					t.Errorf("rule %s, deadline %v:\n%s", r.Name, a.Deadline, got)
				} else if has {
					countdowns++
				}
			}
		}
	}
	if countdowns < 8 {
		t.Errorf("%d countdowns", countdowns)
	}
}

const ruleHead = "segments:\n  - {name: a, when: intent > 0.5}\n  - {name: b, when: intent > 0.1}\nslots: [{name: s}, {name: e, edge: true}]\ntemplates: {t: <p>x</p>}\n"

func TestRulesRefused(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"unknown key":     {ruleHead + "rules:\n  - name: x\n    wen: linked\n", "f.yaml:8:5: unknown key \"rules[0].wen\"; did you mean when?"},
		"no actions":      {ruleHead + "rules:\n  - name: x\n", "f.yaml:7:5: rules[0].actions: a rule without an action"},
		"name":            {ruleHead + "rules:\n  - {name: X y, actions: [{slot: s, template: t}]}\n", "f.yaml:7:12: rules[0].name: \"X y\" names no rule"},
		"same name":       {ruleHead + "rules:\n  - {name: x, actions: [{slot: s, template: t}]}\n  - {name: x, actions: [{slot: s, template: t}]}\n", "f.yaml:8:12: rules[1].name: another rule is called"},
		"slot":            {ruleHead + "rules:\n  - {name: x, actions: [{slot: z, template: t}]}\n", "f.yaml:7:32: rules[0].actions[0].slot: there is no slot \"z\"; it is one of s, e"},
		"no slot":         {ruleHead + "rules:\n  - {name: x, actions: [{template: t}]}\n", "there is no slot \"\""},
		"slot twice":      {ruleHead + "rules:\n  - {name: x, actions: [{slot: s, template: t}, {slot: s, template: t}]}\n", "f.yaml:7:56: rules[0].actions[1].slot: the rule fills slot s twice"},
		"template":        {ruleHead + "rules:\n  - {name: x, actions: [{slot: s, template: u}]}\n", "f.yaml:7:45: rules[0].actions[0].template: there is no template \"u\"; it is one of banner, hero, mode, overlay, t, tips"},
		"gives for free":  {ruleHead + "rules:\n  - {name: x, public: true, gives: true, actions: [{slot: s, template: t}]}\n", "f.yaml:7:36: rules[0].gives: a public rule believes"},
		"ttl":             {ruleHead + "rules:\n  - {name: x, actions: [{slot: s, template: t, ttl: 3}]}\n", "f.yaml:7:53: rules[0].actions[0].ttl: this is not a duration"},
		"short ttl":       {ruleHead + "rules:\n  - {name: x, actions: [{slot: s, template: t, ttl: 3ms}]}\n", "f.yaml:7:53: rules[0].actions[0].ttl: a second is the shortest"},
		"long ttl":        {ruleHead + "rules:\n  - {name: x, actions: [{slot: s, template: t, ttl: 2d}]}\n", "rules[0].actions[0].ttl: 48h0m0s is out of bounds"},
		"negative":        {ruleHead + "rules:\n  - {name: x, actions: [{slot: s, template: t, deadline: -1s}]}\n", "rules[0].actions[0].deadline: -1s is out of bounds"},
		"odd deadline":    {ruleHead + "rules:\n  - {name: x, actions: [{slot: s, template: t, deadline: 1500ms}]}\n", "a countdown shows whole seconds"},
		"negative cap":    {ruleHead + "rules:\n  - {name: x, cap: -1h, actions: [{slot: s, template: t}]}\n", "f.yaml:7:20: rules[0].cap: -1h0m0s is out of bounds"},
		"cap, no unit":    {ruleHead + "rules:\n  - {name: x, cap: 24, actions: [{slot: s, template: t}]}\n", "f.yaml:7:20: rules[0].cap: this is not a duration"},
		"short cap":       {ruleHead + "rules:\n  - {name: x, cap: 5m, actions: [{slot: s, template: t, deadline: 10m}]}\n", "f.yaml:7:20: rules[0].cap: a cap of 5m0s ends before the deadline of 10m0s does"},
		"endless offer":   {ruleHead + "rules:\n  - {name: x, offer: sale, actions: [{slot: s, template: t}]}\n", "f.yaml:7:22: rules[0].offer: the offer \"sale\" has no end: give an action a deadline, or the rule a cap"},
		"offer's name":    {ruleHead + "rules:\n  - {name: x, cap: 1h, offer: A b, actions: [{slot: s, template: t}]}\n", "rules[0].offer: \"A b\" names no offer"},
		"two caps":        {ruleHead + "rules:\n  - {name: x, cap: 1h, offer: o, actions: [{slot: s, template: t}]}\n  - {name: y, cap: 2h, offer: o, actions: [{slot: e, template: t}]}\n", "f.yaml:8:20: rules[1].cap: rules x and y make the same offer \"o\"; give both the same cap"},
		"priority":        {ruleHead + "rules:\n  - {name: x, actions: [{slot: s, template: t, priority: 1.5}]}\n", "f.yaml:7:58: rules[0].actions[0].priority: this is not a whole number"},
		"slot name":       {"slots: [{name: a/b}]\n", "f.yaml:1:16: slots[0].name: \"a/b\" cannot stand in the address"},
		"slot name twice": {"slots: [{name: a}, {name: a}]\n", "f.yaml:1:27: slots[1].name: another slot"},
		"template name":   {"templates: {A: x}\n", "f.yaml:1:16: templates.A: \"A\" names no template"},
		"bad template":    {"templates:\n  a: |\n    <p>{{.Datum}}</p>\n", "templates.a: trying it out: "},
		"template script": {"templates:\n  a: <script>x</script>\n", "f.yaml:2:6: templates.a: \"<script\" does not work"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.in), "f.yaml")
			if p := (Problems{}); !errors.As(err, &p) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %v", err, c.want)
			}
		})
	}
}

func TestCheckRules(t *testing.T) {
	act := func(slot string, priority int) string {
		return fmt.Sprintf("actions: [{slot: %s, priority: %d, template: t}]", slot, priority)
	}
	for name, c := range map[string]struct{ in, want string }{
		"condition": {"  - name: x\n    when: linked && intend > 0.5\n    " + act("s", 1), "f.yaml:8:11: rules[0].when: column 11 of the condition: there is no feature intend; did you mean intent?"},
		"second line": {"  - name: x\n    when: |\n      linked &&\n      segment == \"c\"\n    " + act("s", 1),
			"rules[0].when: line 2, column 12 of the condition: there is no segment \"c\"; it is one of everyone, a, b"},
		"segment": {"  - name: x\n    source: {segments: [a, c]}\n    " + act("s", 1), "f.yaml:8:28: rules[0].source.segments[1]: there is no segment \"c\""},
		"page":    {"  - name: x\n    source: {pages: [shop]}\n    " + act("s", 1), "f.yaml:8:22: rules[0].source.pages[0]: page.type is never \"shop\""},
		"conflict": {"  - {name: x, source: {segments: [a]}, when: cart.value > 5, " + act("s", 1) + "}\n  - {name: y, when: linked, " + act("s", 1) + "}",
			"f.yaml:8:39: rules[1].actions[0]: slot s, priority 1: rules x and y can hold at once, as for a visitor with cart.value = 6, linked = true, segment = everyone/a; give one"},
		"conflict of all":  {"  - {name: x, " + act("s", 1) + "}\n  - {name: y, " + act("s", 1) + "}", "can hold at once, as for any visitor; give"},
		"undecidable":      {"  - {name: x, when: cart.value / cart.items > 5, " + act("s", 1) + "}\n  - {name: y, when: linked, " + act("s", 1) + "}", "it cannot be decided whether rules x and y can hold at once (arithmetic is not looked into; perhaps for a visitor with linked = true); give"},
		"never":            {"  - name: x\n    source: {segments: [a]}\n    when: segment == \"b\"\n    " + act("s", 1), "f.yaml:9:11: rules[0].when: rule x can never fire"},
		"shadowed":         {"  - {name: x, " + act("s", 2) + "}\n  - {name: y, when: linked, " + act("s", 1) + "}", "f.yaml:8:39: rules[1].actions[0]: slot s: rule x wins it whenever rule y holds; raise its priority of 1"},
		"shadowed by both": {"  - {name: x, when: linked, " + act("s", 2) + "}\n  - {name: z, when: '!linked', " + act("s", 3) + "}\n  - {name: y, " + act("s", 1) + "}", "slot s: rules z and x together win it whenever rule y holds"},
		"live at the edge": {"  - name: x\n    when: linked && idle_s > 5 || segment == \"a\"\n    " + act("e", 1), "f.yaml:9:15: rules[0].actions[0]: slot e is kept at the edge, which does not know linked, idle_s; use"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := Parse([]byte(ruleHead+"rules:\n"+c.in+"\n"), "f.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if p := cfg.Check(); len(p) != 1 || !strings.Contains(Problems(p).Error(), c.want) {
				t.Errorf("got  %v\nwant %v", Problems(p), c.want)
			}
		})
	}
}

// TestRulesInherited: a tree of its own has no use for the shipped rules,
// templates add up, and an action without a ttl has one.
func TestRulesInherited(t *testing.T) {
	parse := func(in string) *Config {
		c, err := Parse([]byte(in), "f.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := parse("site: a\n"); len(c.Rules) != len(Default().Rules) || len(c.Rules) == 0 {
		t.Errorf("%d rules", len(c.Rules))
	}
	if c := parse("segments: [{name: a, when: linked}]\n"); len(c.Rules) != 0 || len(c.Slots) == 0 || len(c.Check()) != 0 {
		t.Errorf("%d rules of another tree", len(c.Rules))
	}
	c := parse("templates: {hero: '<p>{{.Data.n}}</p>'}\nrules: [{name: x, actions: [{slot: hero, template: hero, data: {n: 50, b: true}}]}]\n")
	if len(c.Templates) != len(Default().Templates) || c.TemplateTexts()["hero"] != "<p>{{.Data.n}}</p>" {
		t.Errorf("templates %v", c.Templates)
	}
	if a := c.RuleSpecs()[0].Actions[0]; a.TTL != time.Minute || a.Data["n"] != "50" || a.Data["b"] != "true" {
		t.Errorf("action %+v", a)
	}
	if got := c.RuleSlots(); !slices.Contains(got, rule.Slot{Name: "hero", Title: "Head of the home page", Edge: true}) {
		t.Errorf("slots %v", got)
	}
	if c := parse("templates: ~\nrules: []\n"); len(c.Templates) != len(Default().Templates) || len(c.Rules) != 0 {
		t.Errorf("%d templates, %d rules", len(c.Templates), len(c.Rules))
	}
}

// BenchmarkShippedRules decides all slots for a visitor who may have anything.
func BenchmarkShippedRules(b *testing.B) {
	set, tree, schema := shippedRules(b)
	const now = 1_000_000_000
	v := &segment.View{SessionEnd: math.MaxInt64, Last: now, Values: make([]float64, len(schema.Stored()))}
	id, _ := tree.Find("everyone/high_intent/cart_abandoner")
	v.Values[schema.SegmentSlot()], v.Values[session.SlotPageType], v.Values[session.SlotDevice] = float64(id), float64(event.PageHome), float64(event.DeviceMobile)
	b.Run("decide", func(b *testing.B) {
		b.ReportAllocs()
		var out []rule.Winner
		for b.Loop() {
			out, _ = set.Decide(v, now, nil, out[:0])
		}
	})
	b.Run("outcomes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set.Outcomes(v, now)
		}
	})
}
