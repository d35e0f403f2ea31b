package api

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/session"
)

// kept is an offer as the model remembers it, by name, where the server has
// tokens only.
type kept struct {
	rule, slot, state        string
	granted, deadline, until int64
	orders                   float64 // of the person, when it was granted
}

// modelVisitor is a visitor whose offers a server with a memory would know.
type modelVisitor struct {
	device string
	offers map[string]*kept
	tokens map[string]string // by offer, as the page has them
}

// shown is what each slot shows by the model: an offer that stands, else the
// first rule of the highest priority that holds and may.
func (m *modelVisitor) shown(s *site, holding []rule.Spec, since int64, orders float64) map[string]string {
	now := s.clock.Load()
	for name, k := range m.offers {
		if k.until <= now {
			delete(m.offers, name)
		}
	}
	out, made := map[string]string{}, map[string]bool{}
	for _, k := range m.offers {
		if k.state == "open" && k.deadline > now {
			out[k.slot] = k.rule
		}
	}
	for _, slot := range s.cfg.RuleSlots() {
		if out[slot.Name] != "" {
			continue
		}
		type candidate struct {
			spec rule.Spec
			a    rule.ActionSpec
		}
		var all []candidate
		for _, spec := range holding {
			for _, a := range spec.Actions {
				if a.Slot == slot.Name {
					all = append(all, candidate{spec, a})
				}
			}
		}
		slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.a.Priority, a.a.Priority) })
		for _, c := range all {
			name := cmp.Or(c.spec.Offer, c.spec.Name)
			if c.a.Deadline == 0 && c.spec.Cap == 0 {
				out[slot.Name] = c.spec.Name
				break
			}
			if k := m.offers[name]; made[name] || k != nil && !(k.state == "open" && k.deadline == 0 && k.rule == c.spec.Name && k.slot == slot.Name) {
				continue
			}
			out[slot.Name], made[name] = c.spec.Name, true
			if m.offers[name] == nil {
				m.grant(name, c.spec, c.a, since, now, orders)
			}
			break
		}
	}
	return out
}

func (m *modelVisitor) grant(name string, spec rule.Spec, a rule.ActionSpec, since, now int64, orders float64) {
	k := &kept{rule: spec.Name, slot: a.Slot, state: "open", granted: now, orders: orders}
	if len(spec.Source.Segments) > 0 && a.Deadline > 0 {
		k.granted = since
	}
	if a.Deadline > 0 {
		k.deadline = k.granted + a.Deadline.Milliseconds()
	}
	k.until = (max(k.deadline, k.granted+spec.Cap.Milliseconds()) + 999) / 1000 * 1000
	if k.until > now {
		m.offers[name] = k
	}
}

// TestOffersModel plays visitors through segments, pages and time, who dismiss
// and redeem offers and order elsewhere, and compares with a server that remembers them.
func TestOffersModel(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Config, _ *Config) {
		for i := range c.Rules {
			switch r := &c.Rules[i]; r.Name {
			case "cart_banner", "cart_hero": // one offer of two slots
				r.Offer, r.Cap, r.Actions[0].Deadline = "cart", 2*time.Hour, 15*time.Minute
			case "category_banner":
				r.Cap = 0
			}
		}
	})
	r := rand.New(rand.NewPCG(18, 5))
	seen := map[string]int{}
	for n := range 60 {
		m := &modelVisitor{fmt.Sprint("m", n), map[string]*kept{}, map[string]string{}}
		for range 30 {
			s.clock.Add([]int64{0, 900, 61_000, 400_000, 1_000_000, 8_000_000}[r.IntN(6)])
			m.step(s, r, seen)
		}
	}
	for _, what := range []string{"kept", "open", "ended", "dismissed", "redeemed"} {
		if seen[what] < 20 {
			t.Errorf("the test shows too little: %s %d times of %v", what, seen[what], seen)
		}
	}
}

// step is one page view.
func (m *modelVisitor) step(s *site, r *rand.Rand, seen map[string]int) {
	s.t.Helper()
	rec := s.random(r)
	now := s.clock.Load()
	rec.Last, rec.Since, rec.SessionEnd = now, now-r.Int64N(20*60_000), now+1e9
	page := []event.PageType{event.PageHome, event.PageProduct, event.PageCart, event.PageComparison}[r.IntN(4)]
	if r.IntN(2) == 0 {
		rec.Values[session.SlotPageType] = float64(page)
	}
	s.put("d:"+m.device, rec)
	var words []any
	for name, text := range m.tokens {
		state := ""
		if k := m.offers[name]; k != nil && k.state == "open" && r.IntN(6) == 0 {
			state = []string{"dismissed", "redeemed"}[r.IntN(2)]
			k.state = state
		}
		words = append(words, map[string]string{"token": text, "state": state})
	}
	orders := rec.Values[s.slots.orders]
	for _, k := range m.offers {
		if k.state == "open" && orders > k.orders && rec.Values[session.SlotCartItems] == 0 {
			k.state = "redeemed" // by an order
		}
	}
	got := s.personalized(map[string]any{"anonymousId": m.device, "offers": words,
		"event": map[string]any{"page": map[string]string{"type": event.PageTypes[page]}, "context": map[string]any{"device": map[string]string{"type": "desktop"}}}})
	want := m.shown(s, s.holding(known, &rec, rec.Path, page, event.DeviceDesktop), rec.Since, orders)
	if !reflect.DeepEqual(got.won(), want) {
		s.t.Fatalf("%s on %s at %d: %v, want %v\n%+v", m.device, event.PageTypes[page], now, got.won(), want, got.Offers)
	}
	m.tokens = map[string]string{}
	for _, a := range got.Actions {
		if a.Kept {
			seen["kept"]++
		}
	}
	for _, o := range got.Offers {
		k := m.offers[o.Offer]
		state := o.State
		if state == "ended" {
			state = "open"
		}
		if k == nil || *k != (kept{o.Rule, o.Slot, state, o.Granted, o.Deadline, o.Until, k.orders}) {
			s.t.Fatalf("%s: the offer %+v, want %+v", m.device, o, k)
		}
		seen[o.State]++
		m.tokens[o.Offer] = o.Token
	}
	if len(m.tokens) != len(m.offers) {
		s.t.Fatalf("%s: %d offers, want %d", m.device, len(m.tokens), len(m.offers))
	}
}
