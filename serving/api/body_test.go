package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/microseg/microseg/serving/token"
)

// segmentOf is what getUserSegment() resolves to for a device, as the snippet
// posts it; change may be nil.
func (s *site) segmentOf(device string, change func(map[string]any)) map[string]any {
	s.t.Helper()
	var out map[string]any
	check(s.t, json.Unmarshal(s.ask("GET", "/api/segment?anonymousId="+device, "").Body.Bytes(), &out))
	out["anonymousId"] = device
	if change != nil {
		change(out)
	}
	return out
}

// TestSnippet: the brief posts what getUserSegment() resolved to as it is, with
// the page's path in event.page and no content type. That was refused with 400,
// since segment had to be text, and the page was of no type.
func TestSnippet(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("d:ann", s.record(abandoner))
	s.put("d:bob", s.record("everyone"))
	now := s.Now().Unix()
	set := func(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }
	for name, c := range map[string]struct {
		segment any
		page    string // JSON of event.page
		proof   string
		hero    string
		banner  string
		error   string
	}{
		"as it is":              {s.segmentOf("ann", nil), `"/"`, "known", "cart_hero", "cart_banner", ""},
		"another page":          {s.segmentOf("ann", nil), `"/cart"`, "known", "", "cart_banner", ""},
		"a URL":                 {s.segmentOf("ann", nil), `"https://shop.example/?utm=1#top"`, "known", "cart_hero", "cart_banner", ""},
		"an object":             {s.segmentOf("ann", nil), `{"path":"/","title":"Home"}`, "known", "cart_hero", "cart_banner", ""},
		"an object with a URL":  {s.segmentOf("ann", nil), `{"url":"https://shop.example/"}`, "known", "cart_hero", "cart_banner", ""},
		"an object with a type": {s.segmentOf("ann", nil), `{"type":"home","path":"/start"}`, "known", "cart_hero", "cart_banner", ""},
		"a page's type":         {s.segmentOf("ann", nil), `"home"`, "known", "cart_hero", "cart_banner", ""},
		"odd pages":             {s.segmentOf("ann", nil), `[{"path":"/"}]`, "known", "", "cart_banner", ""},
		"odd parts of a page":   {s.segmentOf("ann", nil), `{"path":"/","type":7,"name":["x"]}`, "known", "cart_hero", "cart_banner", ""},
		"no id, the token":      {s.segmentOf("ann", set("anonymousId", "")), `"/"`, "signed", "cart_hero", "cart_banner", ""},
		"a bare id":             {s.segmentOf("ann", set("token", "")), `"/"`, "claimed", "high_hero", "", ""},
		"an id alone":           {map[string]any{"anonymousId": "ann"}, `"/"`, "claimed", "welcome_hero", "", ""},
		"another one's token":   {s.segmentOf("ann", set("anonymousId", "bob")), `"/"`, "claimed", "high_hero", "", "it is another visitor's"},
		"expired": {s.segmentOf("ann", set("token", s.sign("d:ann", abandoner, func(c *token.Claims) { c.Issued, c.Expires = now-400, now }))),
			`"/"`, "claimed", "high_hero", "", "it has expired"},
		"nobody":       {nil, `"/"`, "claimed", "welcome_hero", "", ""},
		"an unknown":   {s.segmentOf("new", nil), `"/"`, "claimed", "welcome_hero", "", ""},
		"as text":      {abandoner, `"/"`, "claimed", "high_hero", "", ""},
		"null as text": {"null", `"/"`, "claimed", "welcome_hero", "", ""},
		"empty":        {map[string]any{}, `null`, "claimed", "", "", ""},
	} {
		text, err := json.Marshal(c.segment)
		check(t, err)
		var got personalizeAnswer
		s.get(&got, "POST", "/api/personalize", fmt.Sprintf(`{"segment":%s,"event":{"page":%s}}`, text, c.page), "Content-Type", "text/plain;charset=UTF-8")
		if got.Proof != c.proof || got.won()["hero"] != c.hero || got.won()["banner"] != c.banner || got.TokenFail != c.error {
			t.Errorf("%s: %s %v %q, want %s, hero %q, banner %q, %q", name, got.Proof, got.won(), got.TokenFail, c.proof, c.hero, c.banner, c.error)
		}
	}
}

// TestSnippetRefusals: what cannot be read is refused in words that help, and a
// long body is read. The words had named a struct of ours, and a browser might have
// looked into the text of a refusal for what else it could be.
func TestSnippetRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for body, want := range map[string]struct {
		code int
		text string
	}{
		``:                                {400, "JSON"},
		`{`:                               {400, "JSON"},
		`[]`:                              {400, "all of it must not be of the type array"},
		`{"anonymousId":["a"]}`:           {400, "anonymousId must not be of the type array"},
		`{"segment":"everyone"} x`:        {400, "JSON"},
		`{"segment":["everyone"]}`:        {400, "neither a path nor what getUserSegment() resolves to"},
		`{"segment":7}`:                   {400, "neither a path nor what getUserSegment() resolves to"},
		`{"segment":{"served":7}}`:        {400, "segment.served must be text, not number"},
		`{"segment":{"token":{}}}`:        {400, "segment.token must be text, not object"},
		`{"event":7}`:                     {400, "event is neither"},
		`{"event":["/"]}`:                 {400, "event is neither"},
		`{"event":{"page":` + deep + `}}`: {400, "JSON"},
		`{"segment":{"x":"` + long(50_000) + `"},"event":{"page":"/"}}`: {200, "welcome_hero"},
		`{"event":{"page":"` + long(50_000) + `"}}`:                     {200, "claimed"},
		`{"segment":"` + long(70_000) + `"}`:                            {413, "64 KiB"},
	} {
		w := s.ask("POST", "/api/personalize", body)
		if strings.Contains(w.Body.String(), "Go ") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%.60s: %v %.200s", body, w.Header(), w.Body)
		}
		if w.Code != want.code || !strings.Contains(w.Body.String(), want.text) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%.60s: %d %.200s, want %d %s", body, w.Code, w.Body, want.code, want.text)
		}
	}
}

var deep = strings.Repeat("[", 20_000)

func long(n int) string { return strings.Repeat("x", n) }

// TestCookie: the browser sends the cookie whoever asks, so it is a proof only
// where the browser says that the page which asks is of this origin.
func TestCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("d:ann", s.record(abandoner))
	good := "theme=dark; ms_token=" + s.sign("d:ann", abandoner, nil)
	for name, c := range map[string]struct {
		body, cookie string
		header       []string
		proof        string
	}{
		"same origin":               {`{"event":"/cart"}`, good, []string{"Sec-Fetch-Site", "same-origin"}, "signed"},
		"its own origin":            {`{"event":"/cart"}`, good, []string{"Origin", "http://example.com"}, "signed"},
		"no statement":              {`{"event":"/cart"}`, good, nil, "claimed"},
		"another site":              {`{"event":"/cart"}`, good, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, "claimed"},
		"another host of the site":  {`{"event":"/cart"}`, good, []string{"Sec-Fetch-Site", "same-site", "Origin", "http://blog.example.com"}, "claimed"},
		"an origin like this":       {`{"event":"/cart"}`, good, []string{"Origin", "http://example.com.evil.example"}, "claimed"},
		"another port":              {`{"event":"/cart"}`, good, []string{"Origin", "http://example.com:8081"}, "claimed"},
		"no origin":                 {`{"event":"/cart"}`, good, []string{"Origin", "null"}, "claimed"},
		"another site, like this":   {`{"event":"/cart"}`, good, []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://example.com"}, "claimed"},
		"a bare id":                 {`{"event":"/cart"}`, "ms_token=ann; ms_anonymous_id=ann; ajs_anonymous_id=ann", []string{"Sec-Fetch-Site", "same-origin"}, "claimed"},
		"a claim":                   {`{"event":"/cart"}`, "ms_token=" + s.claimed(abandoner), []string{"Sec-Fetch-Site", "same-origin"}, "claimed"},
		"another visitor's":         {`{"event":"/cart","anonymousId":"bob"}`, good, []string{"Sec-Fetch-Site", "same-origin"}, "claimed"},
		"newer than the page's own": {`{"event":"/cart","token":"v1.old.old"}`, good, []string{"Sec-Fetch-Site", "same-origin"}, "signed"},
	} {
		var got personalizeAnswer
		s.get(&got, "POST", "/api/personalize", c.body, append(c.header, "Cookie", c.cookie)...)
		want := ""
		if c.proof == "signed" {
			want = "cart_banner"
		}
		if got.Proof != c.proof || got.won()["banner"] != want {
			t.Errorf("%s: %s %v", name, got.Proof, got.won())
		}
	}
	w := s.ask("POST", "/api/personalize", `{}`, "Cookie", good, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	if w.Header().Get("Access-Control-Allow-Credentials") != "" || w.Code != http.StatusOK {
		t.Errorf("with credentials from elsewhere: %d %v", w.Code, w.Header())
	}
}
