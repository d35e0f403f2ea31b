package api

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/token"
	"github.com/microseg/microseg/session"
)

// tokensOf are the tokens of an answer, as a page sends them.
func tokensOf(a *personalizeAnswer) (out []string) {
	for _, o := range a.Offers {
		out = append(out, o.Token)
	}
	return out
}

// TestOfferIsKept: the banner promised 10 % for 15 minutes and was gone on /cart,
// where another offer stood. It stays in its slot until its deadline, on any
// page, whatever the visitor's segment and the rules are by then, at every node
// with the keys, the store's or not; and is not granted again within its cap.
func TestOfferIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("d:ann", s.record(abandoner))
	first := s.personalized(map[string]any{"anonymousId": "ann", "event": "/"})
	if len(first.Offers) != 1 || first.Offers[0].Offer != "cart_banner" || first.Offers[0].State != "open" ||
		first.Offers[0].Deadline != s.clock.Load()+15*60_000 || first.Offers[0].Until != s.clock.Load()+24*3600_000 {
		t.Fatalf("granted: %+v", first.Offers)
	}
	html := first.Actions[0].HTML
	// A minute later she reads on about something else, for long: another banner's rule holds.
	s.clock.Add(60_000)
	rec := s.record("everyone")
	rec.Values[session.SlotPageDwell], rec.Values[session.SlotScrollDepth], rec.Values[session.SlotPageType] = 130, 0.7, float64(event.PageProduct)
	rec.SessionEnd += 1e9
	s.put("d:ann", rec)
	ask := map[string]any{"anonymousId": "ann", "event": "/product/x", "offers": tokensOf(&first)}
	without := s.personalized(map[string]any{"anonymousId": "ann", "event": "/product/x"})
	if without.won()["banner"] != "category_banner" {
		t.Fatalf("the test shows too little: %v", without.won())
	}
	// Another node has no store, other rules, templates and slots, and another key before ours.
	other := newSite(t, func(c *config.Config, n *Config) {
		n.Store, n.Metrics = nil, nil
		c.Rules, c.Templates = c.Rules[len(c.Rules)-1:], map[string]string{"hero": "<p>new</p>"}
		n.Keys, _ = token.ParseKeys("newest:" + strings.Repeat("0c", 32) + ",new:" + strings.Repeat("0a", 32))
	})
	other.clock.Store(s.clock.Load())
	for name, at := range map[string]*site{"its node": s, "another one": other} {
		got := at.personalized(ask)
		if got.Actions[0].Slot != "banner" || got.Actions[0].HTML != html || !got.Actions[0].Kept || got.Actions[0].Deadline != first.Actions[0].Deadline ||
			got.Actions[0].Data["link"] != "/cart/" || strings.Contains(fmt.Sprint(got.won()), "category_banner") {
			t.Errorf("%s: %+v, want what was granted", name, got.Actions)
		}
		if again := at.personalized(map[string]any{"anonymousId": "ann", "event": "/cart", "offers": tokensOf(&got)}); again.Actions[0].HTML != html {
			t.Errorf("%s: its own token is not honoured", name)
		}
	}
	s.clock.Store(first.Offers[0].Deadline)
	got := s.personalized(ask)
	if got.won()["banner"] != "category_banner" || got.Offers[0].State != "ended" {
		t.Errorf("at the deadline: %v %+v", got.won(), got.Offers)
	}
	// She leaves with a full cart again: not within the cap.
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{20 * time.Minute, ""}, {24*time.Hour - time.Second, ""}, {24 * time.Hour, "cart_banner"}} {
		s.clock.Store(testNow.Add(c.after).UnixMilli())
		s.put("d:ann", s.record(abandoner))
		if got := s.personalized(map[string]any{"anonymousId": "ann", "event": "/", "offers": tokensOf(&first)}); got.won()["banner"] != c.want {
			t.Errorf("after %v: %v, want %q", c.after, got.won(), c.want)
		}
	}
}

// TestOfferEnds: what was dismissed or redeemed is over at every node, its token
// says so, and nothing that a page sends opens it again.
func TestOfferEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("d:ann", s.record(abandoner))
	open := s.personalized(map[string]any{"anonymousId": "ann", "event": "/"}).Offers[0].Token
	for _, state := range []string{"dismissed", "redeemed"} {
		got := s.personalized(map[string]any{"anonymousId": "ann", "event": "/", "offers": []any{map[string]string{"token": open, "state": state}}})
		if got.won()["banner"] != "" || len(got.Offers) != 1 || got.Offers[0].State != state || len(got.Offers[0].Token) > 400 {
			t.Fatalf("%s: %v %+v", state, got.won(), got.Offers)
		}
		closed := got.Offers[0].Token
		for _, offers := range [][]any{{closed}, {map[string]string{"token": closed, "state": "open"}}, {closed, open}, {open, closed}} {
			if got := s.personalized(map[string]any{"anonymousId": "ann", "event": "/", "offers": offers}); got.won()["banner"] != "" || got.Offers[0].State != state {
				t.Errorf("%s, then %v: %v %+v", state, offers, got.won(), got.Offers)
			}
		}
	}
}

// TestOrderElsewhere: an order that the page's script does not tell of, since a
// server or another library does, redeems the offers where it is confirmed.
func TestOrderElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("d:ann", s.record(abandoner))
	offers := s.personalized(map[string]any{"anonymousId": "ann", "event": "/"})
	for _, c := range []struct {
		page  string
		items float64
		state string
	}{{"/order/17", 1, "open"}, {"/cart", 0, "open"}, {"/order/17", 0, "redeemed"}} {
		rec := s.record("everyone")
		rec.Values[session.SlotCartItems] = c.items
		s.put("d:ann", rec)
		got := s.personalized(map[string]any{"anonymousId": "ann", "event": c.page, "offers": tokensOf(&offers)})
		if got.Offers[0].State != c.state || (got.won()["banner"] == "") != (c.state == "redeemed") {
			t.Errorf("on %s with %v in the cart: %+v %v", c.page, c.items, got.Offers, got.won())
		}
	}
}

// TestOrderOnAnotherDevice: ann ordered on her phone and her laptop went on to
// promise 10 % for the cart that she had just bought. The node knows her orders and her cart,
// whoever told of them: more orders and an empty cart end the offer, on any page, and
// the stream tells the page to ask. Orders that come with a device, or that another
// person had, are no such thing.
func TestOrderOnAnotherDevice(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	pointer := func(device, user string) {
		s.put("d:"+device, segment.Record{User: user, Evaluated: s.clock.Load()})
	}
	knows := func(person string, orders, items float64) {
		s.clock.Add(1000)
		rec := s.record(abandoner)
		rec.Values[s.slots.orders], rec.Values[session.SlotCartItems] = orders, items
		s.put(person, rec)
	}
	var tokens []string
	asks := func(device, want string) {
		t.Helper()
		got := s.personalized(map[string]any{"anonymousId": device, "event": "/", "offers": tokens})
		if len(got.Offers) != 1 || got.Offers[0].State != want || (got.won()["banner"] != "") != (want == "open") {
			t.Fatalf("%+v %v, want it %s", got.Offers, got.won(), want)
		}
		tokens = tokensOf(&got)
	}
	pointer("laptop", "ann")
	pointer("phone", "ann")
	knows("u:ann", 2, 1)
	asks("laptop", "open")
	stream := s.listen(t, s.serve(t, nil), "anonymousId=laptop")
	stream.until("its segment", func(a *segmentAnswer) bool { return a.Known })
	knows("u:ann", 2, 0) // emptied by hand: the offer stands
	asks("laptop", "open")
	knows("u:ann", 1, 0) // a node that is behind says no less
	asks("laptop", "open")
	knows("u:ann", 4, 1) // a device with old orders became hers
	asks("laptop", "open")
	stream.until("these orders", func(a *segmentAnswer) bool { return a.Version >= strconv.FormatUint(s.version, 10) })
	knows("u:ann", 5, 0)
	stream.until("the order", func(a *segmentAnswer) bool { return a.Version >= strconv.FormatUint(s.version, 10) })
	asks("laptop", "redeemed")
	knows("u:ann", 5, 1) // and nothing opens it again
	asks("laptop", "redeemed")

	tokens = nil
	knows("d:pad", 0, 1)
	asks("pad", "open")
	pointer("pad", "ann") // who logs in has ordered before
	knows("u:ann", 7, 0)
	asks("pad", "open")
	knows("u:ann", 8, 0)
	asks("pad", "redeemed")
}

// TestOffersOfAPerson: a cap is of a device, since no node remembers what another
// device was granted. What the devices of a person do have in common is when the
// person came into the segment: an offer to it ends on all of them at once.
func TestOffersOfAPerson(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, device := range []string{"laptop", "phone"} {
		s.put("d:"+device, segment.Record{User: "ann", Evaluated: s.clock.Load()})
	}
	rec := s.record(abandoner)
	rec.SessionEnd += 1e9
	s.put("u:ann", rec)
	laptop := s.personalized(map[string]any{"anonymousId": "laptop", "event": "/"})
	s.clock.Add(10 * 60_000)
	phone := s.personalized(map[string]any{"anonymousId": "phone", "event": "/"})
	if len(laptop.Offers) != 1 || len(phone.Offers) != 1 || laptop.Offers[0].Deadline != phone.Offers[0].Deadline || laptop.Offers[0].Until != phone.Offers[0].Until {
		t.Errorf("%+v, then %+v", laptop.Offers, phone.Offers)
	}
	s.clock.Store(laptop.Offers[0].Deadline)
	if got := s.personalized(map[string]any{"anonymousId": "phone", "event": "/"}); got.won()["banner"] == "cart_banner" {
		t.Errorf("a third device would begin anew: %+v", got.Offers)
	}
}

// TestOfferIsBound: an offer is of one device, site and purpose, and its words
// are signed.
func TestOfferIsBound(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("d:ann", s.record(abandoner))
	s.put("d:bob", s.record("everyone"))
	mine := s.personalized(map[string]any{"anonymousId": "ann", "event": "/"}).Offers[0].Token
	flipped := []byte(mine)
	flipped[200] ^= 1
	sign := func(change func(*token.Claims)) string {
		c, err := s.Keys.Verify(mine, token.Grant, testSite, s.Now())
		check(t, err)
		change(&c)
		return s.Keys.Sign(c)
	}
	annSigned := s.sign("d:ann", "everyone", nil)
	for name, c := range map[string]struct {
		ask  map[string]any
		kept bool
	}{
		"hers":                          {map[string]any{"anonymousId": "ann", "offers": []any{mine}}, true},
		"by her token":                  {map[string]any{"token": annSigned, "offers": []any{mine}}, true},
		"in the segment":                {map[string]any{"segment": map[string]any{"served": "everyone", "token": annSigned, "anonymousId": "ann", "offers": []any{mine}}}, true},
		"in a segment that is old":      {map[string]any{"segment": map[string]any{"token": "v1.x.x", "anonymousId": "ann", "offers": []any{mine}}}, true},
		"of another device":             {map[string]any{"anonymousId": "bob", "offers": []any{mine}}, false},
		"by another's token":            {map[string]any{"token": s.sign("d:bob", "everyone", nil), "offers": []any{mine}}, false},
		"nobody's":                      {map[string]any{"offers": []any{mine}}, false},
		"by a claim":                    {map[string]any{"claim": s.claimed(abandoner), "offers": []any{mine}}, false},
		"forged":                        {map[string]any{"token": annSigned, "offers": []any{string(flipped)}}, false},
		"another site's":                {map[string]any{"token": annSigned, "offers": []any{sign(func(c *token.Claims) { c.Site = "x" })}}, false},
		"for another purpose":           {map[string]any{"token": annSigned, "offers": []any{sign(func(c *token.Claims) { c.Audience = token.Segment })}}, false},
		"without an offer":              {map[string]any{"token": annSigned, "offers": []any{sign(func(c *token.Claims) { c.Offer = nil })}}, false},
		"over":                          {map[string]any{"token": annSigned, "offers": []any{sign(func(c *token.Claims) { c.Expires = s.Now().Unix() })}}, false},
		"what cannot be read, and hers": {map[string]any{"token": annSigned, "offers": []any{nil, 7, []any{}, map[string]any{"token": 7}, "", mine}}, true},
	} {
		c.ask["event"] = "/cart"
		got := s.personalized(c.ask)
		if kept := len(got.Actions) > 0 && got.Actions[0].Kept; kept != c.kept {
			t.Errorf("%s: kept %v, want %v: %+v", name, kept, c.kept, got)
		}
	}
}

// TestOneOfferOnce: one offer stood on one page as banner and as hero, with two
// countdowns. Rules of one offer fill one slot, and two kept offers do not
// share one.
func TestOneOfferOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Config, _ *Config) {
		for i := range c.Rules {
			if r := &c.Rules[i]; r.Name == "cart_banner" || r.Name == "cart_hero" {
				r.Offer, r.Cap, r.Actions[0].Deadline = "cart", 24*time.Hour, 15*time.Minute
			}
		}
	})
	s.put("d:ann", s.record(abandoner))
	got := s.personalized(map[string]any{"anonymousId": "ann", "event": "/"})
	if got.won()["banner"] != "cart_banner" || got.won()["hero"] != "high_hero" || len(got.Offers) != 1 || got.Offers[0].Offer != "cart" {
		t.Errorf("%v %+v", got.won(), got.Offers)
	}
	// What an edge keeps for all has no offers.
	if w := s.ask("GET", "/esi/hero?page=home&segment="+abandoner+"&claim="+s.claimed(abandoner), ""); !strings.Contains(w.Body.String(), "high_hero") {
		t.Errorf("a shared fragment: %s", w.Body)
	}
	// Two tabs that were granted the same see one deadline, the earlier.
	grant := func(name, slot string, at int64) string {
		return s.Keys.Sign(token.Claims{Audience: token.Grant, Site: testSite, Subject: token.Subject("d:ann"), Expires: at/1000 + 3600,
			Offer: &token.Offer{Name: name, Rule: name, Slot: slot, Granted: at, Deadline: at + 600_000, Content: pack(content{HTML: fmt.Sprint(name, at)})}})
	}
	now := s.clock.Load()
	a, b, other := grant("x", "banner", now-2000), grant("x", "hero", now-1000), grant("y", "banner", now-1500)
	for _, list := range [][]string{{a, b, other}, {other, b, a}, {b, other, a}} {
		got := s.personalized(map[string]any{"anonymousId": "ann", "event": "/cart", "offers": list})
		if w := got.won(); w["banner"] != "x" || w["hero"] != "" || len(got.Offers) != 2 {
			t.Errorf("%v %+v", w, got.Offers)
		}
	}
}

// TestCappedContent: what has a cap and no deadline is shown while its rule
// holds, and once dismissed not again within the cap.
func TestCappedContent(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("d:ann", s.record("everyone/high_intent/price_sensitive"))
	ask := func(state string, offers []granted) personalizeAnswer {
		var list []any
		for _, o := range offers {
			list = append(list, map[string]string{"token": o.Token, "state": state})
		}
		return s.personalized(map[string]any{"anonymousId": "ann", "event": "/cart", "offers": list})
	}
	first := ask("", nil)
	again := ask("", first.Offers)
	if first.won()["overlay"] != "price_overlay" || again.won()["overlay"] != "price_overlay" || again.Offers[0].Until != first.Offers[0].Until {
		t.Fatalf("%v, then %v: %+v", first.won(), again.won(), again.Offers)
	}
	closed := ask("dismissed", again.Offers)
	for i, after := range []time.Duration{0, 23 * time.Hour, 24 * time.Hour} {
		want := []string{"", "", "price_overlay"}[i]
		s.clock.Store(testNow.Add(after).UnixMilli())
		rec := s.record("everyone/high_intent/price_sensitive")
		s.put("d:ann", rec)
		if got := ask("", closed.Offers); got.won()["overlay"] != want {
			t.Errorf("after %v: %v", after, got.won())
		}
	}
}

// TestEdgeOffer: an edge may show an offer before any script runs, to whom can
// prove device and offer, and nobody keeps it.
func TestEdgeOffer(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("d:ann", s.record(abandoner))
	offer := s.personalized(map[string]any{"anonymousId": "ann", "event": "/"}).Offers[0].Token
	mine, other := s.sign("d:ann", "everyone", nil), s.sign("d:bob", abandoner, nil)
	for name, c := range map[string]struct {
		slot, token, offer string
		code               int
	}{
		"hers": {"banner", mine, offer, 200}, "another slot": {"hero", mine, offer, 404}, "another's": {"banner", other, offer, 404},
		"no token": {"banner", "", offer, 401}, "no offer": {"banner", mine, "", 404}, "a token as an offer": {"banner", mine, mine, 404},
	} {
		w := s.ask("GET", "/edge/offer/"+c.slot, "", "X-Microseg-Token", c.token, "X-Microseg-Offer", c.offer)
		if w.Code != c.code || w.Header().Get("Cache-Control") != "private, no-store" || w.Header().Get("Surrogate-Control") != "" {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
		if c.code == 200 && !strings.HasPrefix(w.Body.String(), `<div data-ms-rule="cart_banner" data-ms-ttl="30"><section class="ms-banner"`) {
			t.Errorf("%s", w.Body)
		}
	}
}

// TestPageBefore: what was read on the page before filled the next page's banner
// until its first event was decided, 121 ms of another page's content.
func TestPageBefore(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	rec := s.record("everyone")
	rec.Values[session.SlotPageDwell], rec.Values[session.SlotScrollDepth], rec.Values[session.SlotPageType] = 130, 0.7, float64(event.PageComparison)
	s.put("d:ann", rec)
	rec.Values[session.SlotPageType] = float64(event.PageProduct)
	s.put("d:bob", rec)
	for name, c := range map[string]struct {
		ask  map[string]any
		want string
	}{
		"another type":          {map[string]any{"anonymousId": "ann", "event": "/cart"}, ""},
		"the same":              {map[string]any{"anonymousId": "bob", "event": "/product/a", "view_ms": 131_000}, "category_banner"},
		"another product":       {map[string]any{"anonymousId": "bob", "event": "/product/b", "view_ms": 120}, ""},
		"nobody tells how long": {map[string]any{"anonymousId": "bob", "event": "/product/b"}, "category_banner"},
	} {
		if got := s.personalized(c.ask); got.won()["banner"] != c.want {
			t.Errorf("%s: %v, want %q", name, got.won(), c.want)
		}
	}
}
