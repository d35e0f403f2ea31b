package api

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

// naive decides as docs/adr/0007-serving.md has it: for each slot, the rule of
// the highest priority, the first of the file among equals, that holds and that
// the proof is good enough for.
func (s *site) naive(p proof, rec *segment.Record, served string, page event.PageType, device event.DeviceType) map[string]string {
	out := map[string]string{}
	best := map[string]int{}
	for _, spec := range s.holding(p, rec, served, page, device) {
		for _, a := range spec.Actions {
			if old, taken := best[a.Slot]; !taken || a.Priority > old {
				out[a.Slot], best[a.Slot] = spec.Name, a.Priority
			}
		}
	}
	return out
}

// holding are the rules that hold and that the proof is good enough for.
func (s *site) holding(p proof, rec *segment.Record, served string, page event.PageType, device event.DeviceType) (out []rule.Spec) {
	now := s.clock.Load()
	values := make([]float64, len(s.Schema.Stored()))
	v := segment.View{SessionEnd: now + 1e12, Values: values}
	if p == known {
		v = rec.View()
		copy(values, v.Values)
		if now >= rec.SessionEnd {
			values[session.SlotPageType] = 0
		}
		v.Values = values
		// What was read on a page of another type was not read on this one.
		if was := event.PageType(values[session.SlotPageType]); was != 0 && page != 0 && page != event.PageOther && was != page {
			values[session.SlotPageDwell], values[session.SlotScrollDepth], values[session.SlotScrollHalf] = 0, 0, 0
		}
	}
	node, _ := s.Tree.Find(served)
	values[s.Schema.SegmentSlot()] = float64(node)
	if page != 0 {
		values[session.SlotPageType] = float64(page)
	}
	if device != 0 {
		values[session.SlotDevice] = float64(device)
	}
	for _, spec := range s.cfg.RuleSpecs() {
		var r *rule.Rule
		for _, c := range s.Rules.Rules() {
			if c.Name == spec.Name {
				r = c
			}
		}
		offer := time.Duration(0)
		for _, a := range spec.Actions {
			offer = max(offer, a.Deadline)
		}
		switch ofSegment := len(spec.Source.Segments) > 0; {
		case p == claimed && !spec.Public:
			continue
		case p != known && spec.When != "": // all conditions of the shipped rules are on live features
			continue
		case p == known && ofSegment && offer > 0 && now >= rec.Since+offer.Milliseconds():
			continue
		case !r.When.Value(&v, now):
			continue
		}
		out = append(out, spec)
	}
	return out
}

// TestPersonalizeModel compares with the naive evaluation over random visitors,
// pages, devices and proofs.
func TestPersonalizeModel(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	r := rand.New(rand.NewPCG(9, 10))
	seen := map[string]bool{}
	for i := range 1500 {
		s.clock.Add(r.Int64N(1000))
		page, device := event.PageType(r.IntN(int(event.NumPageTypes))), event.DeviceType(r.IntN(len(event.DeviceTypes)))
		properties, ctx := map[string]any{}, map[string]any{}
		if page != 0 {
			properties["page_type"] = event.PageTypes[page]
		}
		if device != 0 {
			ctx["device"] = map[string]any{"type": event.DeviceTypes[device]}
		}
		ask := map[string]any{"event": map[string]any{"type": "page", "properties": properties, "context": ctx}}
		p, rec := proof(r.IntN(3)), s.random(r)
		if r.IntN(2) == 0 {
			rec.Values[session.SlotPageType] = float64(page)
		}
		served := rec.Path
		switch p {
		case claimed:
			ask["segment"] = served
		case signed:
			ask["token"] = s.sign("", served, nil)
		case known:
			s.put("d:a", rec)
			ask["anonymousId"] = "a"
		}
		want := s.naive(p, &rec, served, page, device)
		got := s.personalized(ask)
		if !reflect.DeepEqual(got.won(), want) || got.Segment != served || got.Proof != proofs[p] {
			t.Fatalf("visitor %d (%s, %s, %s, %s): %v, want %v", i, proofs[p], served, event.PageTypes[page], event.DeviceTypes[device], got.won(), want)
		}
		for _, name := range want {
			seen[name] = true
		}
	}
	for _, spec := range s.cfg.RuleSpecs() {
		if !seen[spec.Name] {
			t.Errorf("no visitor was shown %s", spec.Name)
		}
	}
}

// TestClaims: a segment that is only claimed gets what is public, below every
// node; a rule that names a segment matches those below it.
func TestClaims(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for n := range s.Tree.Len() {
		got := s.personalized(map[string]any{"segment": s.Tree.Path(n), "event": "/"})
		for _, a := range got.Actions {
			for _, r := range s.Rules.Rules() {
				if r.Name == a.Rule && (!r.Public || r.Gives) {
					t.Errorf("%s claimed, and %s shown", s.Tree.Path(n), a.Rule)
				}
			}
		}
		want := "welcome_hero"
		for _, i := range []string{"high", "medium", "low"} {
			if strings.HasPrefix(s.Tree.Path(n), "everyone/"+i+"_intent") {
				want = i + "_hero"
			}
		}
		if got.won()["hero"] != want || got.Segment != s.Tree.Path(n) || got.Proof != "claimed" {
			t.Errorf("%s: %+v, want %s", s.Tree.Path(n), got.won(), want)
		}
	}
}

// TestDeadlines: an offer to a segment counts from when the visitor came into
// it, however often it is asked for, and is over then; one that only a token
// proves counts from now.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	since := s.clock.Load()
	rec := s.record(abandoner)
	rec.SessionEnd += 1e9
	s.put("d:a", rec)
	ask := map[string]any{"anonymousId": "a", "event": "/cart"}
	for _, after := range []int64{0, 1, 60_000, 14 * 60_000, 15*60_000 - 1} {
		s.clock.Store(since + after)
		got := s.personalized(ask)
		if got.won()["banner"] != "cart_banner" || got.Actions[0].Deadline != since+15*60_000 || got.NowMS != since+after ||
			!strings.Contains(got.Actions[0].HTML, fmt.Sprintf(`data-ms-deadline="%d"`, since+15*60_000)) {
			t.Errorf("after %d ms: %+v", after, got)
		}
	}
	s.clock.Store(since + 15*60_000)
	if got := s.personalized(ask); got.won()["banner"] != "" {
		t.Errorf("an offer that is over is shown: %+v", got)
	}
	got := s.personalized(map[string]any{"token": s.sign("", abandoner, nil), "event": "/cart"})
	if got.won()["banner"] != "cart_banner" || got.Actions[0].Deadline != s.clock.Load()+15*60_000 {
		t.Errorf("by token: %+v", got)
	}
}

// TestLiveRules: rules on live features need a lookup, whatever is proved.
func TestLiveRules(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	rec := s.record("everyone")
	rec.Values[session.SlotPageDwell], rec.Values[session.SlotScrollDepth] = 130, 0.7
	s.put("d:a", rec)
	page := map[string]any{"type": "page", "properties": map[string]any{"path": "/product/1", "category": "laptops"}}
	if got := s.personalized(map[string]any{"anonymousId": "a", "event": page}); got.won()["banner"] != "category_banner" || !strings.Contains(got.Actions[0].HTML, "laptops") {
		t.Errorf("looked up: %+v", got)
	}
	for _, ask := range []map[string]any{{"event": page}, {"segment": "everyone", "event": page}, {"token": s.sign("", "everyone", nil), "event": page}, {"claim": s.claimed("everyone"), "event": page}} {
		if got := s.personalized(ask); got.won()["banner"] != "" {
			t.Errorf("%v: %+v", ask, got)
		}
	}
}

// TestPageAndDevice: what the request says outweighs the record; how it says so
// may differ.
func TestPageAndDevice(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for name, ev := range map[string]string{
		"a path":           `"/"`,
		"a URL":            `"https://shop.example/?utm=1"`,
		"a page call":      `{"type":"page","properties":{"path":"/"}}`,
		"context":          `{"context":{"page":{"path":"/"}}}`,
		"context's URL":    `{"context":{"page":{"url":"https://shop.example/"}}}`,
		"stated":           `{"properties":{"page_type":"home","path":"/cart"}}`,
		"with odd parts":   `{"properties":{"path":"/","category":["x"],"name":7},"context":{"device":"mobile"}}`,
		"with white space": "  \n\t\"/\"",
	} {
		for _, contentType := range []string{"application/json", "text/plain;charset=UTF-8", ""} {
			var got personalizeAnswer
			s.get(&got, "POST", "/api/personalize", `{"segment":"everyone","event":`+ev+`}`, "Content-Type", contentType)
			if got.won()["hero"] != "welcome_hero" {
				t.Errorf("%s as %q: %+v", name, contentType, got)
			}
		}
	}
	rec := s.record("everyone")
	rec.Values[session.SlotDevice], rec.Values[session.SlotNetwork] = float64(event.DeviceMobile), 3
	s.put("d:a", rec)
	for agent, want := range map[string]string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1": "light_layout",
		"": "light_layout", // the record's
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36": "",
	} {
		var got personalizeAnswer
		s.get(&got, "POST", "/api/personalize", `{"anonymousId":"a","event":"/"}`, "User-Agent", agent)
		if got.won()["layout"] != want {
			t.Errorf("%q: %v", agent, got.won())
		}
	}
}
