package config

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

func TestShipped(t *testing.T) {
	c, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Check() {
		t.Error(p)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Error("Load(\"\") and Default differ")
	}
	if c.Source.Linger != 6*time.Millisecond || c.Retention != 720*time.Hour || len(c.Pages) != 9 {
		t.Errorf("read wrongly: linger %v, retention %v, %d page types", c.Source.Linger, c.Retention, len(c.Pages))
	}
	if _, err := event.NewDecoder(c.EventConfig()); err != nil {
		t.Error(err)
	}
	compiler := segment.NewCompiler(segment.NewSchema(c.Elements), c.SegmentParams())
	if _, err := segment.NewTree(compiler, c.SegmentSpecs()); err != nil {
		t.Error(err)
	}
}

// Every key of the structs stands in the shipped file: it is the reference.
func TestShippedIsComplete(t *testing.T) {
	marks := Default().marks
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				continue
			}
			name := path + f.Tag.Get("yaml")
			if m, ok := marks[name]; !ok || m.line == 0 {
				t.Errorf("%s is not in the shipped file", name)
			}
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type, name+".")
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

// The weights are chosen so that intent says what a marketer expects.
func TestShippedIntent(t *testing.T) {
	c := Default()
	rules, err := c.SignalRules()
	if err != nil {
		t.Fatal(err)
	}
	w := signal.NewWeigher(rules)
	view := w.Weight(&event.Event{Kind: event.KindPage, PageType: event.PageProduct}) + w.Weight(&event.Event{Kind: event.KindProductView, X: 900})
	add := w.Weight(&event.Event{Kind: event.KindCartAdd, X: 900, Y: 1})
	if i := signal.Intent(view, c.Intent.Kappa); math.Abs(i-0.15) > 0.02 {
		t.Errorf("a product view gives intent %.3f, want about 0.15", i)
	}
	if i := signal.Intent(3*view+add, c.Intent.Kappa); i <= 0.75 {
		t.Errorf("three product views and an add to the cart give intent %.3f, want above 0.75", i)
	}
	deep := w.Weight(&event.Event{Kind: event.KindScroll, PageType: event.PageProduct, X: 0.8})
	if click := w.Weight(&event.Event{Kind: event.KindClick}); deep <= click {
		t.Errorf("a deep scroll weighs %v, a click %v", deep, click)
	}
	if h := w.Weight(&event.Event{Kind: event.KindHover, X: 500}); h != 0 {
		t.Errorf("a hover of 500 ms weighs %v; the limit is exclusive", h)
	}
}

// Every shipped segment can be reached: no sibling before it takes all of it.
func TestShippedReachable(t *testing.T) {
	c := Default()
	compiler := segment.NewCompiler(segment.NewSchema(c.Elements), c.SegmentParams())
	tree, err := segment.NewTree(compiler, c.SegmentSpecs())
	if err != nil {
		t.Fatal(err)
	}
	const now = 1_000_000_000
	price, features := session.SlotHover0, session.SlotHover0+1
	comparison := session.SlotDwell0 + session.Slot(event.PageComparison)
	mobile, slow := float64(event.DeviceMobile), float64(event.Network3G)
	type values = map[session.Slot]float64
	cases := map[string]struct {
		live   float64
		idle   int64 // s
		values values
	}{
		"everyone":             {0, 0, values{}},
		"everyone/high_intent": {25, 0, values{}},
		"everyone/high_intent/high_ticket_retarget":       {25, 60, values{session.SlotDwellHighTicket: 480, session.SlotCartItems: 1, comparison: 90}},
		"everyone/high_intent/cart_abandoner":             {25, 60, values{session.SlotCartItems: 1, comparison: 90, price: 1, features: 1}},
		"everyone/high_intent/price_sensitive_analyzer":   {25, 59, values{session.SlotCartItems: 1, comparison: 90, price: 1, features: 1}},
		"everyone/high_intent/price_sensitive":            {25, 0, values{session.SlotCartItems: 1, session.SlotCartValue: 101}},
		"everyone/high_intent/mobile_low_time":            {25, 0, values{session.SlotDevice: mobile}},
		"everyone/medium_intent":                          {8, 0, values{}},
		"everyone/medium_intent/price_sensitive_analyzer": {8, 0, values{comparison: 90, price: 1, features: 1}},
		"everyone/medium_intent/mobile_3g":                {8, 0, values{session.SlotDevice: mobile, session.SlotNetwork: slow}},
		"everyone/low_intent":                             {2, 0, values{}},
		"everyone/low_intent/price_sensitive_analyzer":    {2, 0, values{comparison: 90, price: 1, features: 1}},
		"everyone/price_sensitive_analyzer":               {0.4, 0, values{comparison: 90, price: 1, features: 1}},
		"everyone/low_intent/mobile_3g":                   {2, 0, values{session.SlotDevice: mobile, session.SlotNetwork: slow}},
	}
	for id := range tree.Len() {
		path := tree.Path(id)
		in, ok := cases[path]
		if !ok {
			t.Errorf("no visitor for %s", path)
			continue
		}
		v := &segment.View{Live: signal.Decayed{Sum: in.live, Ref: now}, Long: signal.Decayed{Sum: in.live, Ref: now},
			Last: now - in.idle*1000, SessionEnd: now + 1, Values: make([]float64, len(session.Catalogue(c.Elements)))}
		for slot, x := range in.values {
			v.Values[slot] = x
		}
		if got, _ := tree.Decide(v, now); tree.Path(got) != path {
			t.Errorf("the visitor for %s is in %s", path, tree.Path(got))
		}
	}
}

// TestShippedExempt: what answers a trigger is served from its first member on,
// wherever in the tree it stands, and says why; layers and descriptive segments
// need the brief's 12 %.
func TestShippedExempt(t *testing.T) {
	c := Default()
	tree, err := c.SegmentTree()
	if err != nil {
		t.Fatal(err)
	}
	a := c.Activation(tree)
	for id := 1; id < tree.Len(); id++ {
		n := tree.Node(id)
		action := slices.Contains([]string{"high_ticket_retarget", "cart_abandoner", "price_sensitive_analyzer"}, n.Name)
		if a.Exempt[id] != action || a.Active[id] != action || action != strings.HasPrefix(n.Exempt, "answers a trigger") {
			t.Errorf("%s: exempt %v, active at first %v, because %q", n.Path, a.Exempt[id], a.Active[id], n.Exempt)
		}
		if !action && a.Up[id] != 0.12 {
			t.Errorf("%s needs %v", n.Path, a.Up[id])
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"unknown key":         {"site: a\nsesion:\n  gap: 1m\n", "f.yaml:2:1: unknown key \"sesion\"; did you mean session?"},
		"unknown nested key":  {"session:\n  gapp: 1m\n", "f.yaml:2:3: unknown key \"session.gapp\"; did you mean gap?"},
		"wrong type":          {"site: a\naudience:\n  min_sample: many\n", "f.yaml:3:15: "},
		"list for number":     {"intent:\n  kappa: [1]\n", "f.yaml:2:10: "},
		"string for mapping":  {"site: a\nsession: 30m\n", "f.yaml:2:10: "},
		"duration":            {"session:\n  gap: 30 minutes\n", "f.yaml:2:8: session.gap: this is not a duration; write"},
		"duration as number":  {"retention: 5\n", "f.yaml:1:12: retention: this is not a duration"},
		"fraction":            {"source: {max_batch: 3.7}\n", "f.yaml:1:21: source.max_batch: this is not a whole number"},
		"quoted number":       {"source:\n  shards: \"3\"\n", "f.yaml:2:11: source.shards: this is not a whole number"},
		"deep nesting":        {strings.Repeat("[", 1<<19), "more than 1000 open brackets"},
		"bad YAML":            {"site: [a\n", "f.yaml:1:7: "},
		"duplicate key":       {"site: a\nsite: b\n", "f.yaml:2:1: "},
		"alias":               {"site: &a demo\n", "anchors, aliases and tags are not supported"},
		"two documents":       {"site: a\n---\nsite: b\n", "a second document"},
		"not a mapping":       {"- a\n", "a configuration is a mapping"},
		"out of bounds":       {"site: a\naudience:\n  activate: 12\n", "f.yaml:3:13: audience.activate: 12 is not a share; choose from 0 to 1: 12 % is 0.12"},
		"not a number":        {"intent: {kappa: .nan}\n", "f.yaml:1:17: intent.kappa: choose from"},
		"page type":           {"pages:\n  - {type: shop, path: /}\n", "f.yaml:2:12: pages[0].type: \"shop\" is not a page type; choose one of home,"},
		"page rule":           {"pages:\n  - type: home\n", "f.yaml:2:5: pages[0]: "},
		"signal page type":    {"signals:\n  - name: a\n    match: {event: page, page_type: [shop]}\n    weight: 1\n", "f.yaml:3:38: signals[0].match.page_type[0]: \"shop\""},
		"misplaced limit":     {"signals:\n  - name: a\n    match: {event: page, depth: {above: 0.5}}\n    weight: 1\n", "\"page\" has no depth"},
		"same names":          {"segments:\n  - {name: a, when: intent > 0.1}\n  - {name: a, when: intent > 0.2}\n", "f.yaml:3:12: segments[1].name: a sibling"},
		"element":             {"elements: [add to cart]\n", "f.yaml:1:12: elements[0]: "},
		"exempt, no reason":   {"segments:\n  - {name: a, when: intent > 0.1, exempt: ' '}\n", "f.yaml:2:43: segments[0].exempt: write the reason in one line"},
		"exempt and not":      {"segments:\n  - {name: a, when: intent > 0.1, exempt: why, min_audience: 0.1}\n", "segments[0].exempt: the segment needs an audience of 0.1 by min_audience, and none by exempt; remove one"},
		"missing placed near": {"segments:\n  - name: a\n", "f.yaml:2:5: segments[0].when: a segment needs"},
		"shipped placed":      {"half_lives: {live: 3h}\n", "half_lives.long: the signal weight compares"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.in), "f.yaml")
			var p Problems
			if !errors.As(err, &p) {
				t.Fatalf("got %v, want Problems", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %v", err, c.want)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := Parse([]byte("site: ''\nmax_event_bytes: 1\nsource: {max_batch: 0}\n"), "f.yaml")
	if p := (Problems{}); !errors.As(err, &p) || len(p) != 3 {
		t.Errorf("want 3 problems, got\n%v", err)
	}
}

func TestParseKeepsWhatIsNotStated(t *testing.T) {
	c, err := Parse([]byte("site: shop\nhigh_ticket: {min_price: 900}\nelements: []\nsegments:\n- {name: a, when: live > 1, min_audience: 0}\n"), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := Default()
	if c.Site != "shop" || c.HighTicket.MinPrice != 900 || len(c.Elements) != 0 || len(c.Segments) != 1 || *c.Segments[0].MinAudience != 0 || c.Segments[0].Children != nil {
		t.Errorf("stated values are lost: %+v", c)
	}
	if c.HalfLives != d.HalfLives || !reflect.DeepEqual(c.HighTicket.Categories, d.HighTicket.Categories) || !reflect.DeepEqual(c.Signals, d.Signals) {
		t.Errorf("shipped values are lost: %+v", c)
	}
	if empty, err := Parse([]byte("# nothing\n"), "f.yaml"); err != nil || !reflect.DeepEqual(empty, d) {
		t.Errorf("an empty file is not the shipped one: %v", err)
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"syntax": {"segments:\n  - name: a\n    when: intent >\n", "f.yaml:3:11: segments[0].when: column "},
		"unknown feature": {"segments:\n  - name: a\n    when: live > 1\n    children:\n      - name: b\n        when: live > 1 && intend > 0.5\n",
			"f.yaml:6:15: segments[0].children[0].when: column 13 of the condition: "},
		"second line":      {"segments:\n  - name: a\n    when: |\n      live > 1 &&\n      intend > 0.5\n", "segments[0].when: line 2, column 1 of the condition"},
		"element is gone":  {"elements: [reviews]\n", "microseg.yaml:"},
		"depth in percent": {"signals:\n  - name: a\n    match: {event: Page Scrolled, depth: {above: 70}}\n    weight: 1\n", "f.yaml:3:42: signals[0].match.depth: nothing is above 70"},
		"empty interval":   {"signals:\n  - name: a\n    match: {event: Product Viewed, price: {above: 9, below: 5}}\n    weight: 1\n", "nothing is above 9 and below 5"},
		"unknown page":     {"signals:\n  - name: a\n    match: {event: page, page_type: [unknown]}\n    weight: 1\n", "write other"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := Parse([]byte(c.in), "f.yaml")
			if err != nil {
				t.Fatal(err)
			}
			p := cfg.Check()
			if len(p) == 0 || !strings.Contains(Problems(p).Error(), c.want) {
				t.Errorf("got  %v\nwant %v", Problems(p), c.want)
			}
		})
	}
}

func TestCustomKinds(t *testing.T) {
	c, err := Parse([]byte(`signals:
  - {name: a, match: {event: Quiz Finished}, weight: 1}
  - {name: b, match: {event: page}, weight: 1}
  - {name: c, match: {event: Size Guide Opened, page_type: [product]}, weight: 2}
  - {name: d, match: {event: Quiz Finished, page_type: [home, content]}, weight: 1}
`), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.EventConfig().Custom; !reflect.DeepEqual(got, []string{"Quiz Finished", "Size Guide Opened"}) {
		t.Errorf("custom names: %q", got)
	}
	rules, err := c.SignalRules()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []event.Kind{event.FirstCustom, event.KindPage, event.FirstCustom + 1, event.FirstCustom} {
		if rules[i].Kind != want {
			t.Errorf("rule %d is about %v, want %v", i, rules[i].Kind, want)
		}
	}
}

func TestLoadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("site: filed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path); err != nil || c.Site != "filed" {
		t.Errorf("got %v, %v", c, err)
	}
}

// FuzzParse: any bytes give either Problems or a configuration that can be
// built, and no panic.
func FuzzParse(f *testing.F) {
	f.Add(Shipped)
	for _, s := range []string{"", "site: a", "a: &a [*a]", "pages: [{type: home, path: '/**'}]", "segments:\n- name: a\n  when: |\n    live >\n", "signals: ~", "? {a: b}\n: c",
		"rules:\n- name: x\n  source: {segments: [high_intent]}\n  when: linked\n  actions: [{slot: hero, template: t, ttl: 3s}]\ntemplates: {t: '<p>{{.Data.a}}</p>'}\nslots: [{name: hero, edge: true}]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data, "f.yaml")
		if err != nil {
			if p := (Problems{}); !errors.As(err, &p) || len(p) == 0 {
				t.Fatalf("not Problems: %v", err)
			}
			return
		}
		if _, err := c.SignalRules(); err != nil {
			t.Fatalf("valid, but: %v", err)
		}
		if _, err := event.NewDecoder(c.EventConfig()); err != nil {
			t.Fatalf("valid, but: %v", err)
		}
		if _, err := c.RuleTemplates(); err != nil {
			t.Fatalf("valid, but: %v", err)
		}
		c.Check()
	})
}

// TestCheckProvesReach: a condition that contradicts itself, and a segment whose
// earlier sibling always wins, are found before anybody waits for a visitor.
func TestCheckProvesReach(t *testing.T) {
	cfg, err := Parse([]byte("segments:\n  - {name: a, when: intent > 0.5}\n  - {name: b, when: intent > 0.6}\n  - {name: c, when: idle_s > 5 && idle_s < 3}\n"), "x.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.Check()
	if len(got) != 2 || got[0].Line != 3 || !strings.Contains(got[0].Message, "a always wins") || got[1].Line != 4 || !strings.Contains(got[1].Message, "never hold") {
		t.Fatalf("problems %v", got)
	}
	if p := Default().Check(); len(p) != 0 {
		t.Fatalf("the shipped configuration has problems: %v", p)
	}
}

// TestLegacyUntil: a day or a time, or none; anything else is refused, or links would be
// believed for ever without anybody knowing.
func TestLegacyUntil(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{`""`: 0, "2026-12-31": 1798675200000, "2026-12-31T12:00:00Z": 1798718400000, "2026-12-31T12:00:00+02:00": 1798711200000} {
		c, err := Parse([]byte("identity:\n  legacy_until: "+text+"\n"), "test.yaml")
		if err != nil || c.Identity.LegacyUntilMS() != want {
			t.Errorf("%s: %v, %v", text, c, err)
		}
	}
	for _, text := range []string{"tomorrow", "31.12.2026", "2026-13-01", "1960-01-01"} {
		if _, err := Parse([]byte("identity:\n  legacy_until: "+text+"\n"), "test.yaml"); err == nil || !strings.Contains(err.Error(), "identity.legacy_until") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
