package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/token"
)

const (
	basicDemo  = "Basic ZGVtbzo=" // demo:
	bearerDemo = "Bearer demo"
	admin      = "Bearer " + testAdmin
)

// TestWhoMayAsk is the table of ADR 7, with every refusal of every route.
func TestWhoMayAsk(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("d:ann", s.record(abandoner))
	s.put("u:ann@example.com", s.record(abandoner))
	long := strings.Repeat("x", maxID+1)
	type row struct {
		method, target, body, auth string
		want                       int
	}
	rows := []row{
		{"GET", "/api/segment?anonymousId=ann", "", "", 200},
		{"GET", "/api/segment?anonymousId=nobody", "", "", 200},
		{"GET", "/api/segment", "", "", 400},
		{"GET", "/api/segment?anonymousId=" + long, "", "", 400},
		{"GET", "/api/segment?userId=" + long, "", admin, 400},
		{"GET", "/api/segment?userId=ann@example.com", "", "", 403},
		{"GET", "/api/segment?userId=ann@example.com&anonymousId=ann", "", "", 403},
		{"GET", "/api/segment?userId=ann@example.com", "", admin, 200},
		{"GET", "/api/segment?userId=ann@example.com", "", "Bearer wrong", 401},
		{"GET", "/api/segment?userId=ann@example.com", "", "Bearer ", 401},
		{"GET", "/api/segment?userId=ann@example.com", "", "Digest x", 401},
		{"GET", "/api/segment?anonymousId=ann", "", "Bearer wrong", 401},
		{"GET", "/api/segment/explain?anonymousId=ann", "", "", 200},
		{"GET", "/api/segment/explain", "", "", 400},
		{"GET", "/api/segment/explain?anonymousId=nobody", "", "", 404},
		{"GET", "/api/segment/explain?userId=ann@example.com", "", "", 403},
		{"GET", "/api/segment/explain?userId=ann@example.com", "", admin, 200},
		{"GET", "/api/stream", "", "", 400},
		{"GET", "/api/stream?token=x", "", "", 400},
		{"GET", "/api/stream?userId=ann@example.com", "", "", 403},
		{"GET", "/api/stream?userId=ann@example.com", "", "Bearer wrong", 401},
		{"POST", "/api/personalize", `{}`, "", 200},
		{"POST", "/api/personalize", `{"anonymousId":"ann","event":"/cart"}`, "", 200},
		{"POST", "/api/personalize", ``, "", 400},
		{"POST", "/api/personalize", `{"event":`, "", 400},
		{"POST", "/api/personalize", `{"event":5}`, "", 400},
		{"POST", "/api/personalize", `{"event":[]}`, "", 400},
		{"POST", "/api/personalize", `{"event":null}`, "", 200},
		{"POST", "/api/personalize", `{"event":{"name":5,"properties":{"category":["x"]}}}`, "", 200},
		{"POST", "/api/personalize", `{"segment":5}`, "", 400},
		{"POST", "/api/personalize", `{"anonymousId":"` + long + `"}`, "", 400},
		{"POST", "/api/personalize", `{"event":"` + strings.Repeat("x", maxBody) + `"}`, "", 413},
		{"POST", "/api/personalize", `{"event":` + strings.Repeat("[", 20_000), "", 400},
		{"POST", "/api/personalize", `{"userId":"ann@example.com"}`, "", 403},
		{"POST", "/api/personalize", `{"userId":"ann@example.com"}`, admin, 200},
		{"POST", "/api/personalize", `{"userId":"ann@example.com"}`, "Bearer wrong", 401},
		{"GET", "/esi/nowhere", "", "", 404},
		{"GET", "/esi/banner", "", "", 404}, // not an edge slot
		{"GET", "/esi/hero", "", "", 200},
		{"GET", "/edge/token", "", "", 401},
		{"PUT", "/api/segment", "", "", 405},
		{"POST", "/api/segment", "", "", 400},
		{"POST", "/api/segment", `{"userId":"ann@example.com"}`, "", 403},
		{"GET", "/api/personalize", "", "", 405},
	}
	for _, r := range []row{{"GET", "/api/segment?anonymousId=ann", "", "", 0}, {"GET", "/api/segment/explain?anonymousId=ann", "", "", 0},
		{"GET", "/api/stream?anonymousId=ann", "", "", 0}, {"POST", "/api/personalize?x", `{"anonymousId":"ann"}`, "", 0}} {
		rows = append(rows, row{r.method, r.target, r.body, basicDemo, 403}, row{r.method, r.target, r.body, bearerDemo, 403},
			row{r.method, r.target + "&writeKey=demo", r.body, "", 403}, row{r.method, r.target + "&%77riteKey=demo", r.body, "", 403})
	}
	for _, r := range rows {
		var header []string
		if r.auth != "" {
			header = []string{"Authorization", r.auth}
		}
		w := s.ask(r.method, r.target, r.body, header...)
		if w.Code != r.want {
			t.Errorf("%s %.60s %.60s %q: %d %s, want %d", r.method, r.target, r.body, r.auth, w.Code, w.Body, r.want)
			continue
		}
		if strings.HasPrefix(r.target, "/esi") && r.want == 200 || r.want == 405 {
			continue
		}
		if got := w.Header().Get("Cache-Control"); got != "private, no-store" {
			t.Errorf("%s %.60s (%d): Cache-Control %q", r.method, r.target, w.Code, got)
		}
		if !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != "application/json" || w.Code >= 400 && !strings.HasPrefix(w.Body.String(), `{"error":"`) {
			t.Errorf("%s %.60s: the answer is not JSON: %s", r.method, r.target, w.Body)
		}
	}
}

// TestAdmin: the site's servers are told whom a record is of; pages are not.
func TestAdmin(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("d:ann", s.record(abandoner))
	s.put("u:ann", s.record("everyone"))
	if a := s.lookUp("ann"); a.Person != "" || a.Path != abandoner || a.Token == "" || !a.Known {
		t.Errorf("a page: %+v", a)
	}
	var a segmentAnswer
	s.get(&a, "GET", "/api/segment?userId=ann", "", "Authorization", admin)
	if a.Person != "u:ann" || a.Path != "everyone" {
		t.Errorf("the admin: %+v", a)
	}
	open := newSite(t, func(_ *config.Config, c *Config) { c.AdminKey = "" })
	for _, auth := range []string{"Bearer ", "Bearer x"} {
		if w := open.ask("GET", "/api/segment?userId=ann", "", "Authorization", auth); w.Code != http.StatusUnauthorized {
			t.Errorf("a node without an admin believes %q: %d", auth, w.Code)
		}
	}
}

// TestWithoutStore: a node that looks nothing up answers from proofs.
func TestWithoutStore(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(_ *config.Config, c *Config) { c.Store, c.Metrics = nil, nil })
	for target, want := range map[string]int{"/api/segment?anonymousId=ann": 200, "/api/stream?anonymousId=ann": 404, "/api/segment/explain?anonymousId=ann": 404} {
		if w := s.ask("GET", target, ""); w.Code != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	got := s.personalized(map[string]any{"anonymousId": "ann", "token": s.sign("d:ann", abandoner, nil), "event": "/cart"})
	if got.Proof != "signed" || got.won()["banner"] != "cart_banner" {
		t.Errorf("%+v", got)
	}
}

// TestTokens: what is not exactly a token or claim of this site, of this
// visitor, and of now, is not believed; and what gives something away, not shown.
func TestTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	other, err := token.ParseKeys("new:" + strings.Repeat("ff", 32))
	check(t, err)
	now := s.Now().Unix()
	good := s.sign("d:ann", abandoner, nil)
	claim := s.claimed(abandoner)
	claims := token.Claims{Audience: token.Segment, Site: testSite, Subject: token.Subject("d:ann"), Path: abandoner, Issued: now, Expires: now + 300}
	flipped := []byte(good)
	flipped[20] ^= 1
	for name, c := range map[string]struct {
		field, text string
		believed    bool
	}{
		"good":            {"token", good, true},
		"good claim":      {"claim", claim, true},
		"other key":       {"token", other.Sign(claims), false},
		"flipped":         {"token", string(flipped), false},
		"claim as token":  {"token", claim, false},
		"token as claim":  {"claim", good, false},
		"link as token":   {"token", s.sign("d:ann", abandoner, func(c *token.Claims) { c.Audience = token.Link }), false},
		"another site's":  {"token", s.sign("d:ann", abandoner, func(c *token.Claims) { c.Site = "other" }), false},
		"another's":       {"token", s.sign("d:bob", abandoner, nil), false},
		"a user's":        {"token", s.sign("u:ann", abandoner, nil), false},
		"nobody's":        {"token", s.sign("d:ann", abandoner, func(c *token.Claims) { c.Subject = "" }), false},
		"expired":         {"token", s.sign("d:ann", abandoner, func(c *token.Claims) { c.Expires = now }), false},
		"expired claim":   {"claim", s.sign("", abandoner, func(c *token.Claims) { c.Audience, c.Expires = token.Claim, now }), false},
		"unknown version": {"token", "v2" + good[2:], false},
		"long":            {"token", good + strings.Repeat("A", 2000), false},
		"a word":          {"token", "believe me", false},
	} {
		got := s.personalized(map[string]any{"anonymousId": "ann", c.field: c.text, "segment": abandoner, "event": "/cart"})
		_, offered := got.won()["banner"]
		if (got.Proof == "signed") != c.believed || offered != c.believed || (got.TokenFail == "") != c.believed || got.Segment != abandoner {
			t.Errorf("%s: proof %s (%s), won %v", name, got.Proof, got.TokenFail, got.won())
		}
	}
	for n := range len(good) {
		if got := s.personalized(map[string]any{"anonymousId": "ann", "token": good[:n]}); got.Proof == "signed" {
			t.Fatalf("the first %d characters of a token are believed", n)
		}
	}
	for i := range len(good) {
		b := []byte(good)
		b[i] ^= 3
		if got := s.personalized(map[string]any{"anonymousId": "ann", "token": string(b)}); got.Proof == "signed" {
			t.Fatalf("a token is believed with character %d changed", i)
		}
	}
	// Without an id, a token stands for its bearer; a lookup outweighs it.
	if got := s.personalized(map[string]any{"token": good}); got.Proof != "signed" || got.Segment != abandoner {
		t.Errorf("bearer: %+v", got)
	}
	s.put("d:ann", s.record("everyone"))
	if got := s.personalized(map[string]any{"token": good, "anonymousId": "ann"}); got.Proof != "known" || got.Segment != "everyone" {
		t.Errorf("known: %+v", got)
	}
}

// TestOnlyLookupsAreSigned: a node once signed whatever segment a visitor of
// whom it knew nothing said to be in, so that a word became a proof; a claim,
// which is about nobody, became a token; and tokens renewed themselves.
func TestOnlyLookupsAreSigned(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for name, q := range map[string]string{
		"a word":  "segment=" + abandoner,
		"a claim": "claim=" + s.claimed(abandoner),
		"a token": "token=" + s.sign("d:new", abandoner, nil),
		"nothing": "",
	} {
		var a segmentAnswer
		s.get(&a, "GET", "/api/segment?anonymousId=new&"+q, "")
		if a.Token != "" || a.Known {
			t.Errorf("%s is signed: %+v", name, a)
		}
	}
	s.put("d:new", s.record(abandoner))
	a := s.lookUp("new")
	c, err := s.Keys.Verify(a.Token, token.Segment, testSite, s.Now())
	if err != nil || c.Path != abandoner || c.Subject != token.Subject("d:new") || c.Expires != a.Expires || a.Expires != s.Now().Add(defaultTokenTTL).Unix() {
		t.Errorf("%+v, %v of %+v", c, err, a)
	}
}

// TestOrigins: an origin that is not configured is never named.
func TestOrigins(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(_ *config.Config, c *Config) {
		c.Origins = []string{"https://shop.example", "https://m.shop.example"}
	})
	for origin, want := range map[string]string{"": "", "https://shop.example": "https://shop.example", "https://m.shop.example": "https://m.shop.example",
		"https://evil.example": "", "https://shop.example.evil.example": "", "http://shop.example": "", "null": "", "*": ""} {
		for _, r := range [][3]string{{"GET", "/api/segment?anonymousId=a", ""}, {"POST", "/api/personalize", "{}"}, {"GET", "/api/segment", ""}, {"OPTIONS", "/api/segment", ""}} {
			h := s.ask(r[0], r[1], r[2], "Origin", origin).Header()
			if h.Get("Access-Control-Allow-Origin") != want || h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s from %q: %v", r[0], r[1], origin, h)
			}
		}
	}
	any := newSite(t, nil)
	w := any.ask("OPTIONS", "/api/personalize", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
	if h := w.Header(); w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" ||
		strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("%d %v", w.Code, h)
	}
	if h := any.ask("GET", "/esi/hero", "", "Origin", "https://evil.example").Header(); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a fragment: %v", h)
	}
}

// TestMetrics: requests by route and status, never by what a visitor sends.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("d:ann", s.record(abandoner))
	s.lookUp("ann")
	s.personalized(map[string]any{"anonymousId": "ann", "event": "/cart"})
	for range 2 {
		s.ask("GET", "/esi/anything-"+strings.Repeat("x", 20), "")
	}
	s.ask("GET", "/edge/token", "", "X-Microseg-Token", "forged")
	all, err := s.registry.Gather()
	check(t, err)
	got := map[string]float64{}
	for _, f := range all {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{"microseg_api_requests_total 200 /api/segment": 1, "microseg_api_requests_total 200 /api/personalize": 1,
		"microseg_api_requests_total 404 /esi/{slot}": 2, "microseg_api_requests_total 401 /edge/token": 1, "microseg_rule_wins_total cart_banner banner": 1,
		"microseg_respond_seconds /api/segment": 1, "microseg_store_profiles": 1, "microseg_store_lag_records": 0, "microseg_streams": 0} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

// TestOurOwnErrorsAreNobodysElse: what fails in a node was told to whoever had asked, with
// what it was about; the log has it.
func TestOurOwnErrorsAreNobodysElse(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.handle(s.mux, "GET /broken", func(http.ResponseWriter, *http.Request) error { return errors.New("reading u:ann at 10.0.0.5") })
	if w := s.ask("GET", "/broken", ""); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "ann") || strings.Contains(w.Body.String(), "10.0.0.5") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
