package api

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/token"
)

func same(a, b *httptest.ResponseRecorder) bool {
	return a.Code == b.Code && a.Body.String() == b.Body.String() && fmt.Sprint(a.Header()) == fmt.Sprint(b.Header())
}

// TestCacheKey: a fragment depends on slot, segment, claim, page and device, and
// on nothing else that a request may hold.
func TestCacheKey(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(_ *config.Config, c *Config) { c.Origins = []string{"https://shop.example"} })
	s.put("d:a", s.record(abandoner))
	r := rand.New(rand.NewPCG(11, 12))
	for range 400 {
		q := map[string]string{"segment": s.Tree.Path(r.IntN(s.Tree.Len())), "page": event.PageTypes[r.IntN(len(event.PageTypes))], "device": event.DeviceTypes[r.IntN(len(event.DeviceTypes))]}
		if r.IntN(2) == 0 {
			q["claim"] = s.claimed(q["segment"])
		}
		slot := []string{"hero", "sidebar", "banner"}[r.IntN(3)]
		plain := url.Values{}
		for k, v := range q {
			plain.Set(k, v)
		}
		want := s.ask("GET", "/esi/"+slot+"?"+plain.Encode(), "")
		for k, v := range map[string]string{"anonymousId": "a", "userId": "a", "token": s.sign("d:a", abandoner, nil), "utm_source": "x", "callback": "x", "writeKey": "demo", "_": fmt.Sprint(r.Int())} {
			if r.IntN(2) == 0 {
				q[k] = v
			}
		}
		var parts []string
		for k := range maps.Keys(q) { // in any order
			parts = append(parts, k+"="+url.QueryEscape(q[k]))
		}
		got := s.ask("GET", "/esi/"+slot+"?"+strings.Join(parts, "&"), "", "Host", "evil.example", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http",
			"X-Forwarded-Prefix", "/evil", "X-Original-URL", "/api/segment", "Forwarded", "host=evil.example", "Cookie", "ms_token=x; session=1", "Authorization", admin, "Origin", "https://shop.example",
			"X-Microseg-Token", s.sign("d:a", abandoner, nil), "X-Microseg-Segment", abandoner, "X-Microseg-Claim", s.claimed(abandoner), "User-Agent", "Mobile",
			"Accept-Language", "de", "Referer", "https://evil.example/cart", "X-HTTP-Method-Override", "POST")
		if !same(got, want) {
			t.Fatalf("%s %v: %d %v %s\nplain: %d %v %s", slot, q, got.Code, got.Header(), got.Body, want.Code, want.Header(), want.Body)
		}
		if strings.Contains(got.Body.String(), "evil") {
			t.Fatalf("%s", got.Body)
		}
	}
}

// TestFragments: a fragment is what personalize would show to the same claim,
// its times impersonal, and how long an edge may keep it.
func TestFragments(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ttls := map[string]int{"cart_hero": 60, "welcome_hero": 600, "": 60}
	for n := range s.Tree.Len() {
		for _, claim := range []string{"", s.claimed(s.Tree.Path(n))} {
			for page := range event.NumPageTypes {
				q := url.Values{"segment": {s.Tree.Path(n)}, "page": {event.PageTypes[page]}, "device": {"desktop"}, "claim": {claim}}
				w := s.ask("GET", "/esi/hero?"+q.Encode(), "")
				want := s.personalized(map[string]any{"segment": s.Tree.Path(n), "claim": claim,
					"event": map[string]any{"properties": map[string]any{"page_type": event.PageTypes[page]}, "context": map[string]any{"device": map[string]any{"type": "desktop"}}}})
				name := want.won()["hero"]
				if got := w.Body.String(); (name == "") != (got == "") || name != "" && !strings.HasPrefix(got, `<div data-ms-rule="`+name+`" data-ms-ttl="`) || strings.Contains(got, "data-ms-deadline") {
					t.Fatalf("%v: %s, want %q", q, got, name)
				}
				ttl := ttls[name]
				if ttl == 0 {
					ttl = 300
				}
				if got := w.Header(); got.Get("Surrogate-Control") != fmt.Sprintf("max-age=%d, stale-while-revalidate=60, stale-if-error=86400", ttl) ||
					!strings.HasPrefix(got.Get("Cache-Control"), "public, max-age=0, s-maxage=") || got.Get("Set-Cookie") != "" || got.Get("Vary") != "" {
					t.Fatalf("%s: %v", name, got)
				}
			}
		}
	}
	if w := s.ask("GET", "/esi/hero?page=home&segment="+abandoner+"&claim="+s.sign("", abandoner, nil), ""); strings.Contains(w.Body.String(), "cart_hero") {
		t.Errorf("a token is taken for a claim: %s", w.Body)
	}
	if w := s.ask("GET", "/esi/gone", ""); w.Header().Get("Surrogate-Control") != "" || w.Header().Get("Cache-Control") != "private, no-store" {
		t.Errorf("a refusal may be kept: %v", w.Header())
	}
}

// TestEdgeToken: a token becomes a claim that all of the segment share whose token ends in
// the same minute, and that a fragment believes until then.
func TestEdgeToken(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	get := func(text string) *httptest.ResponseRecorder {
		return s.ask("GET", "/edge/token", "", "X-Microseg-Token", text)
	}
	one, two := get(s.sign("d:a", abandoner, nil)), get(s.sign("u:b", abandoner, nil))
	claim := one.Header().Get("X-Microseg-Claim")
	if !same(one, two) || one.Code != 200 || one.Header().Get("X-Microseg-Segment") != abandoner || one.Header().Get("Surrogate-Control") != "max-age=60" ||
		one.Header().Get("Cache-Control") != "private, no-store" || one.Header().Get("Vary") != "X-Microseg-Token" {
		t.Errorf("%d %v %s\n%d %v", one.Code, one.Header(), one.Body, two.Code, two.Header())
	}
	short := get(s.sign("d:a", abandoner, func(c *token.Claims) { c.Expires = c.Issued + 7 }))
	if short.Header().Get("Surrogate-Control") != "max-age=7" {
		t.Errorf("a token that expires: %v", short.Header())
	}
	offered := func() bool {
		return strings.Contains(s.ask("GET", "/esi/hero?page=home&claim="+claim, "").Body.String(), "cart_hero")
	}
	claim = get(s.sign("d:a", abandoner, func(c *token.Claims) { c.Expires = c.Issued + 600 })).Header().Get("X-Microseg-Claim")
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {10*time.Minute - time.Second, true}, {10 * time.Minute, false}} {
		s.clock.Store(testNow.Add(c.after).UnixMilli())
		if offered() != c.want {
			t.Errorf("after %v a claim is believed: %v", c.after, !c.want)
		}
	}
	for name, text := range map[string]string{"none": "", "a claim": claim, "expired": s.sign("d:a", abandoner, func(c *token.Claims) { c.Expires = c.Issued }),
		"another site's": s.sign("d:a", abandoner, func(c *token.Claims) { c.Site = "x" })} {
		w := get(text)
		if w.Code != http.StatusUnauthorized || w.Header().Get("X-Microseg-Claim") != "" || w.Header().Get("Surrogate-Control") != "max-age=10" || w.Header().Get("Cache-Control") != "private, no-store" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

// TestClaimEnds: a claim was good for up to two hours, whatever it was exchanged for, so an
// edge went on showing what a token of a minute had proved. It ends with the token, and is
// the same for all whose token ends in the same minute.
func TestClaimEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	exchange := func(left time.Duration) (claim string, life int64) {
		now := s.Now()
		text := s.Keys.Sign(token.Claims{Audience: token.Segment, Site: testSite, Subject: token.Subject("d:a"), Path: abandoner, Issued: now.Unix(), Expires: now.Add(left).Unix()})
		w := s.ask("GET", "/edge/token", "", "X-Microseg-Token", text)
		if w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if _, err := fmt.Sscanf(w.Header().Get("Surrogate-Control"), "max-age=%d", &life); err != nil {
			t.Fatal(err)
		}
		return w.Header().Get("X-Microseg-Claim"), life
	}
	for _, left := range []time.Duration{time.Second, 20 * time.Second, 59 * time.Second, time.Minute, 90 * time.Second, 5 * time.Minute, 3 * time.Hour} {
		for range 7 {
			claim, life := exchange(left)
			c, err := s.Keys.Verify(claim, token.Claim, testSite, s.Now())
			if err != nil || c.Expires > s.Now().Add(left).Unix() {
				t.Errorf("of a token with %v left: ends %v after it, %v", left, time.Unix(c.Expires, 0).Sub(s.Now().Add(left)), err)
			}
			if life <= 0 || life > 60 || s.Now().Unix()+life > c.Expires {
				t.Errorf("of a token with %v left: the edge keeps for %d s what ends in %d s", left, life, c.Expires-s.Now().Unix())
			}
			s.clock.Add(7_300)
		}
	}
	one, _ := exchange(4*time.Minute + 30*time.Second)
	s.clock.Store(s.clock.Load()/60_000*60_000 + 1000)
	two, _ := exchange(4*time.Minute + 30*time.Second)
	if three, _ := exchange(4*time.Minute + 50*time.Second); two != three || one == "" {
		t.Error("tokens that end in the same minute are exchanged for different claims")
	}
}
