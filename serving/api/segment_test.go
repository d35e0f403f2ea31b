package api

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

// TestServed: what is served is the longest beginning of the path that is
// active, whatever is active.
func TestServed(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for n := range s.Tree.Len() {
		s.put(fmt.Sprint("d:", n), s.record(s.Tree.Path(n)))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		active := map[string]bool{"everyone": true}
		var paths []string
		for n := range s.Tree.Len() {
			if r.IntN(2) == 0 {
				paths = append(paths, s.Tree.Path(n))
				active[s.Tree.Path(n)] = true
			}
			if s.Tree.Node(n).Exempt != "" {
				active[s.Tree.Path(n)] = true // whatever the job says
			}
		}
		s.activate(paths...)
		for n := range s.Tree.Len() {
			want := s.Tree.Path(n)
			for !active[want] {
				want = want[:strings.LastIndexByte(want, '/')]
			}
			if a := s.lookUp(fmt.Sprint(n)); a.Path != s.Tree.Path(n) || a.Served != want {
				t.Fatalf("with %v active, %s is served as %s, want %s", paths, s.Tree.Path(n), a.Served, want)
			}
		}
	}
}

// TestDrift: job and node may run different configurations for a while.
func TestDrift(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for i, c := range []struct{ path, want string }{
		{"everyone/high_intent/no_such", "everyone/high_intent"},
		{"everyone/high_intent/cart_abandoner/deeper/still", abandoner},
		{"everyone/no_such/cart_abandoner", "everyone"},
		{"somebody/high_intent", "everyone"},
		{"", "everyone"},
		{"/", "everyone"},
	} {
		id := fmt.Sprint("drift-", i)
		s.put("d:"+id, s.record(c.path))
		if a := s.lookUp(id); a.Path != c.want || a.Served != c.want || !a.Known {
			t.Errorf("%q: %+v, want %s", c.path, a, c.want)
		}
	}
	for name, change := range map[string]func(*segment.Record){
		"no values":    func(r *segment.Record) { r.Values = nil },
		"few values":   func(r *segment.Record) { r.Values = r.Values[:3] },
		"many values":  func(r *segment.Record) { r.Values = append(r.Values, make([]float64, 40)...) },
		"unknown page": func(r *segment.Record) { r.Values[session.SlotPageType] = float64(event.NumPageTypes) },
		"unknown all": func(r *segment.Record) {
			r.Values[session.SlotDevice], r.Values[session.SlotNetwork], r.Values[session.SlotOS] = 99, 1e300, -5
		},
		"NaN": func(r *segment.Record) {
			r.Live.Sum, r.Values[session.SlotPageType], r.Values[session.SlotCartItems] = math.NaN(), math.NaN(), math.Inf(1)
		},
	} {
		r := s.record(abandoner)
		change(&r)
		s.put("d:odd", r)
		if a := s.lookUp("odd"); a.Served != abandoner {
			t.Errorf("%s: %+v", name, a)
		}
		if w := s.ask("GET", "/api/segment/explain?anonymousId=odd", ""); w.Code != 200 {
			t.Errorf("%s, explained: %d %s", name, w.Code, w.Body)
		}
		if a := s.personalized(map[string]any{"anonymousId": "odd"}); a.won()["banner"] != "cart_banner" {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// TestFeatures: features are those of the record at the node's own now.
func TestFeatures(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 200 {
		rec := s.random(r)
		s.put("d:a", rec)
		v := rec.View()
		a := s.lookUp("a")
		open := s.clock.Load() < rec.SessionEnd
		for name, want := range map[string]any{
			"idle_s":      float64(s.clock.Load()-rec.Last) / 1000,
			"intent":      1 - math.Exp2(-rec.Live.At(s.clock.Load(), s.Params.HalfLives.Live)/s.Params.Kappa),
			"cart.items":  v.Values[session.SlotCartItems],
			"device.type": event.DeviceTypes[int(v.Values[session.SlotDevice])],
		} {
			if f, ok := want.(float64); ok {
				if got, ok := a.Features[name].(float64); !ok || math.Abs(got-f) > 1e-9 {
					t.Fatalf("visitor %d: %s is %v, want %v", i, name, a.Features[name], want)
				}
			} else if a.Features[name] != want {
				t.Fatalf("visitor %d: %s is %v, want %v", i, name, a.Features[name], want)
			}
		}
		if d := a.Features["dwell.comparison"].(float64); !open && d != 0 || open && d != v.Values[session.SlotDwell0+session.Slot(slices.Index(event.PageTypes[:], "comparison"))] {
			t.Fatalf("visitor %d: dwell.comparison is %v with an open session: %v", i, d, open)
		}
		if a.AgeMS != s.clock.Load()-rec.Evaluated || a.Version != fmt.Sprint(s.version) || a.Since != rec.Since {
			t.Fatalf("visitor %d: %+v of %+v", i, a, rec)
		}
	}
}

// TestLeaves: explain's forecast is what stepping through time finds.
func TestLeaves(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	r := rand.New(rand.NewPCG(5, 6))
	left, stayed := 0, 0
	for i := range 150 {
		rec := s.random(r)
		now := s.clock.Load()
		v := rec.View()
		node, _ := s.Tree.Decide(&v, now)
		rec.Path = s.Tree.Path(node) // as the job would have decided
		s.put("d:a", rec)
		var e explanation
		s.get(&e, "GET", "/api/segment/explain?anonymousId=a", "", "Authorization", admin)
		at := func(ms int64) int { n, _ := s.Tree.Decide(&v, ms); return n }
		end := e.LeavesMS
		if end == 0 {
			stayed++
			end = now + (30 * 24 * time.Hour).Milliseconds()
		} else if left++; at(end) == node || s.Tree.Path(at(end)) != e.LeavesTo || at(end-1) != node {
			t.Fatalf("visitor %d is said to leave %s for %s at +%d ms: then %s, before %s", i, rec.Path, e.LeavesTo, end-now, s.Tree.Path(at(end)), s.Tree.Path(at(end-1)))
		}
		step := max(250, (end-now)/5000)
		for ms := now; ms < end; ms += step {
			if at(ms) != node {
				t.Fatalf("visitor %d leaves %s at +%d ms, not at +%d", i, rec.Path, ms-now, e.LeavesMS-now)
			}
		}
	}
	if left < 20 || stayed < 5 {
		t.Errorf("only %d leave and %d stay: too few to tell", left, stayed)
	}
}

// TestExplain: the way down the tree, and every rule, with their truth.
func TestExplain(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	r := rand.New(rand.NewPCG(7, 8))
	for range 100 {
		rec := s.random(r)
		s.put("d:a", rec)
		var e explanation
		s.get(&e, "GET", "/api/segment/explain?anonymousId=a", "")
		v := rec.View()
		node, _ := s.Tree.Decide(&v, s.clock.Load())
		deepest := "everyone"
		for _, n := range e.Segments {
			if n.Holds {
				deepest = n.Path
			}
			if !n.Active || len(n.Conditions) == 0 {
				t.Fatalf("%+v", n)
			}
		}
		if deepest != s.Tree.Path(node) || len(e.Rules) != len(s.Rules.Rules()) || len(e.Activation) != s.Tree.Len() {
			t.Fatalf("explained as %s, decided as %s", deepest, s.Tree.Path(node))
		}
	}
}

// TestNotServed: what of the path is not served is explained, in the words that
// reports and ClickHouse have, too: a bot counts in no audience.
func TestNotServed(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.clock.Add(60_000)
	s.count(segment.Active{Paths: []string{"everyone"}, Counted: true, Total: 5, Members: map[string]int{"everyone/high_intent": 3}})
	rec := s.record("everyone/high_intent/price_sensitive")
	s.put("d:a", rec)
	rec.Bot = true
	s.put("d:crawler", rec)
	s.put("d:left", s.record(abandoner))
	for device, want := range map[string][]notServed{
		"a": {{"everyone/high_intent", "3 of 5 active visitors; 200 are needed before anything changes"},
			{"everyone/high_intent/price_sensitive", "0 of 5 active visitors; 200 are needed before anything changes"}},
		"crawler": {{"everyone/high_intent", "bot: in no audience"}, {"everyone/high_intent/price_sensitive", "bot: in no audience"}},
		"left":    {},
	} {
		var e explanation
		s.get(&e, "GET", "/api/segment/explain?anonymousId="+device, "", "Authorization", admin)
		if !slices.Equal(e.NotServed, want) || device == "left" && e.Served != abandoner {
			t.Errorf("%s: served %s, and not %q", device, e.Served, e.NotServed)
		}
	}
}

// TestThresholds: explain told every visitor how long to stay away from a full basket to be
// offered something for it. It tells the admin, and everybody where that is configured;
// others are told what is looked at, and whether it holds.
func TestThresholds(t *testing.T) {
	t.Parallel()
	for _, open := range []bool{false, true} {
		s := newSite(t, func(_ *config.Config, c *Config) { c.Thresholds = open })
		s.clock.Add(60_000)
		s.count(segment.Active{Paths: []string{"everyone"}, Counted: true, Total: 5, Members: map[string]int{"everyone/high_intent": 3}})
		rec := s.record("everyone/high_intent/price_sensitive")
		s.put("d:a", rec)
		var everybody, ours explanation
		s.get(&everybody, "GET", "/api/segment/explain?anonymousId=a", "")
		s.get(&ours, "GET", "/api/segment/explain?anonymousId=a", "", "Authorization", admin)
		text, theAdmins := fmt.Sprintf("%+v", everybody), fmt.Sprintf("%+v", ours)
		for _, secret := range []string{">=", "200 are needed", "<", "=="} {
			if !strings.Contains(theAdmins, secret) {
				t.Errorf("the admin is not told %q: %s", secret, theAdmins)
			}
			if strings.Contains(text, secret) != open {
				t.Errorf("thresholds %v: everybody is told %q: %v, %s", open, secret, !open, text)
			}
		}
		if w := s.ask("POST", "/api/segment/explain", `{"anonymousId":"a"}`); w.Code != 200 || w.Body.String() != s.ask("GET", "/api/segment/explain?anonymousId=a", "").Body.String() {
			t.Errorf("asked in a body: %d %s", w.Code, w.Body)
		}
		if open {
			continue
		}
		if strings.Contains(text, "NextMS:1") || everybody.LeavesMS != 0 || everybody.LeavesTo != "" {
			t.Errorf("everybody is told when: %s", text)
		}
		if len(everybody.Segments) != len(ours.Segments) || len(everybody.Rules) != len(ours.Rules) || everybody.Path != ours.Path ||
			!strings.Contains(text, "Text:intent ") || !strings.Contains(text, "too few active visitors") {
			t.Errorf("everybody is told too little: %s", text)
		}
	}
}

// TestStale: a weight that is mostly old is said to be stale.
func TestStale(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Config, _ *Config) {})
	s.put("d:a", s.record(abandoner))
	if a := s.lookUp("a"); a.Stale || a.AgeMS != 0 {
		t.Errorf("just decided: %+v", a)
	}
	s.clock.Add((90 * time.Minute).Milliseconds())
	if a := s.lookUp("a"); !a.Stale || a.AgeMS != (90*time.Minute).Milliseconds() {
		t.Errorf("90 minutes later: %+v", a)
	}
}
