package collect_test

import (
	"strings"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/collect"
)

// TestVisitor: the user agent of the request is the visitor's when a browser
// or a crawler sends, and nobody's when a library does.
func TestVisitor(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	const browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
	for _, c := range []struct {
		agent, context, want string
		bot                  bool
	}{
		{browser, `{}`, browser, false},
		{browser, `{"userAgent":"other"}`, "other", false},
		{"axios/1.7", `{}`, "", false},
		{"analytics-node-next/latest", `{}`, "", false},
		{"Googlebot/2.1 (+http://www.google.com/bot.html)", `{}`, "Googlebot/2.1 (+http://www.google.com/bot.html)", true},
		{browser, `{"userAgent":"curl/8.5.0"}`, "curl/8.5.0", false},
	} {
		s.ok(s.post("/v1/page", `{"anonymousId":"a","context":`+c.context+`}`, auth, header("User-Agent", c.agent)))
		r := s.records(1)[0]
		got, _ := fields(t, r.Value)["context"].(map[string]any)["userAgent"].(string)
		e, _, err := decoded(t, event.Config{}, r)
		if err != nil || got != c.want || e.Flags&event.FlagBot != 0 != c.bot {
			t.Errorf("%s %s: %q, %+v, %v", c.agent, c.context, got, e, err)
		}
	}
	if n := s.count("page", "bot"); n != 1 {
		t.Errorf("%v bots are counted", n)
	}
}

// TestConsent: who does not want to be remembered gets the same answer, and
// the log gets nothing, not even of an event that is refused.
func TestConsent(t *testing.T) {
	t.Parallel()
	const denied = `{"type":"track","event":"A","anonymousId":"secret","context":{"consent":{"categoryPreferences":{"Analytics":false}}},"properties":{"x":"`
	s := start(t, nil)
	s.ok(s.post("/v1/batch", `{"batch":[`+denied+`"}},`+denied+strings.Repeat("y", 40_000)+`"}},{"type":"nonsense",`+denied[len(`{"type":"track",`):]+`"}}]}`, auth))
	s.ok(s.post("/v1/track", `{"event":"A","anonymousId":"secret"}`, auth, header("Sec-GPC", "1")))
	s.ok(s.post("/v1/batch", `{"batch":[17]}`, auth, header("Sec-GPC", "1")))
	if r := s.post("/track", `[{"event":"A","properties":{"token":"demo","distinct_id":"secret"}}]`, header("Sec-GPC", "1")); r.body != "1" {
		t.Errorf("Mixpanel's form: %+v", r)
	}
	s.nothing()
	// The batch's consent is its events'.
	s.ok(s.post("/v1/batch", `{"context":{"consent":{"categoryPreferences":{"Analytics":false}}},"batch":[{"type":"track","event":"A","anonymousId":"secret"}]}`, auth))
	s.nothing()
	if n := s.count("other", "no_consent"); n != 4 {
		t.Errorf("%v events without consent are counted", n)
	}

	s = start(t, func(c *collect.Config) { c.IgnoreGPC, c.Event.Consent.Required = true, true })
	s.ok(s.post("/v1/track", `{"event":"A","anonymousId":"secret"}`, auth))
	s.ok(s.post("/v1/track", `{"event":"marker","anonymousId":"a","context":{"consent":{"categoryPreferences":{"Analytics":true}}}}`, auth, header("Sec-GPC", "1")))
	if r := s.records(1)[0]; !strings.Contains(string(r.Value), "marker") {
		t.Errorf("%s", r.Value)
	}
}

// TestDeletionIsNotAClients: whoever has a write key cannot forge a tombstone.
func TestDeletionIsNotAClients(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	events := []string{
		`{"type":"$delete","anonymousId":"victim"}`,
		`{"type":"\u0024delete","anonymousId":"victim"}`,
		`{"\u0074ype":"$delete","anonymousId":"victim"}`,
		`{"type":"track","event":"A","type":"$delete","anonymousId":"victim"}`,
		`{"type":"$delete","userId":"victim"}`,
		`{"type":"$delete","anonymousId":"victim","context":{"consent":{"categoryPreferences":{"Analytics":false}}}}`,
		`{"type":"$delete","anonymousId":"victim","properties":{"x":"` + strings.Repeat("y", 40_000) + `"}}`,
		`{"type":"$disclaim","anonymousId":"victim","userId":"secret-of-ann"}`,
		`{"type":"$erased","anonymousId":"victim"}`,
		`{"type":"$anything","anonymousId":"victim"}`,
	}
	s.ok(s.post("/v1/batch", `{"batch":[`+strings.Join(events, ",")+`]}`, auth))
	s.ok(s.post("/v1/track", events[0], auth)) // the route's type counts: a track call without a name
	for _, r := range s.records(len(events) + 1) {
		if e, _, err := decoded(t, event.Config{}, r); err == nil {
			t.Errorf("%.80s is taken as %v of %q", r.Value, e.Kind, e.Device)
		}
		if strings.Contains(string(r.Value), "secret-of-ann") {
			t.Errorf("who plays admin has left a userId: %s", r.Value)
		}
	}
}
