package collect_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/token"
)

// TestLink: a token that names a user makes the device that shows it that user's,
// once the log has it; one that is forged, old, of another purpose or site is
// refused with a code of its own, and nothing is on the log.
func TestLink(t *testing.T) {
	t.Parallel()
	keys, err := token.ParseKeys("k1:000102030405060708090a0b0c0d0e0f")
	if err != nil {
		t.Fatal(err)
	}
	others, err := token.ParseKeys("k1:ffffffffffffffffffffffffffffffff,k9:000102030405060708090a0b0c0d0e0f")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, func(c *collect.Config) {
		c.Keys, c.Site = keys, "shop"
		c.Event = event.Config{Consent: event.Consent{Categories: []string{"analytics"}}}
	})
	now := time.Now()
	sign := func(k *token.Keys, user, site string, at time.Time) string {
		text, err := k.LinkTo(user, site, at, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good := sign(keys, "ann \"é\" \\", "shop", now)
	segment := keys.Sign(token.Claims{Audience: token.Segment, Site: "shop", User: "ann", Expires: now.Unix() + 60})
	body := func(tok, device, more string) string {
		return fmt.Sprintf(`{"token":%q,"anonymousId":%q,"writeKey":"demo"%s}`, tok, device, more)
	}
	for name, c := range map[string]struct {
		body, code string
		status     int
		opts       []option
	}{
		"forged":             {body(sign(others, "ann", "shop", now), "a1", ""), "token_forged", 401, nil},
		"changed":            {body(strings.Replace(good, ".", ".e", 1), "a1", ""), "token_form", 400, nil},
		"of an unknown key":  {body(strings.Replace(good, "v1.", "v2.", 1), "a1", ""), "token_form", 400, nil},
		"expired":            {body(sign(keys, "ann", "shop", now.Add(-time.Hour)), "a1", ""), "token_expired", 410, nil},
		"a segment's token":  {body(segment, "a1", ""), "token_purpose", 403, nil},
		"another site's":     {body(sign(keys, "ann", "other", now), "a1", ""), "token_purpose", 403, nil},
		"no token":           {body("", "a1", ""), "token_form", 400, nil},
		"nobody's device":    {body(good, "undefined", ""), "anonymous_id", 400, nil},
		"a user as a device": {body(good, "user:bob", ""), "anonymous_id", 400, nil},
		"without consent":    {body(good, "a1", `,"context":{"consent":{"categoryPreferences":{"analytics":false}}}`), "no_consent", 403, nil},
		"with GPC":           {body(good, "a1", ""), "no_consent", 403, []option{header("Sec-GPC", "1")}},
		"a wrong write key":  {strings.Replace(body(good, "a1", ""), "demo", "x", 1), "", 401, nil},
		"no JSON":            {"{", "", 400, nil},
		"a broken messageId": {body(good, "a1", `,"messageId":["m"]`), "", 400, nil},
	} {
		got := s.post("/v1/identity/link", c.body, c.opts...)
		var out struct {
			Error struct{ Message, Code string }
		}
		if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.code != c.status || out.Error.Code != c.code || out.Error.Message == "" || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s, not %d %s", name, got.code, got.body, c.status, c.code)
		}
	}
	s.ok(s.post("/v1/identity/link", body(good, "a1", `,"messageId":"m1","context":{"consent":{"categoryPreferences":{"analytics":true}}}`)))
	r := s.records(1)[0]
	e, _, err := decoded(t, event.Config{}, r)
	if got := event.ReadTrust(r.Headers[0].Value); got != event.Linked {
		t.Errorf("the record has the trust %s: it would link what the device did before", got)
	}
	if err != nil || string(r.Key) != "a1" || e.Device != "a1" || e.User != "ann \"é\" \\" || e.Kind != event.KindIdentify || fields(t, r.Value)["messageId"] != "m1" || strings.Contains(string(r.Value), good[:40]) {
		t.Errorf("on the log is %s under %s: %+v, %v", r.Value, r.Key, e, err)
	}
}

// TestNoLinks: a collector without keys says so.
func TestNoLinks(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	if got := s.post("/v1/identity/link", `{"token":"v1.e30.e30","anonymousId":"a","writeKey":"demo"}`); got.code != 404 || !strings.Contains(got.body, "no_links") {
		t.Errorf("%d %s", got.code, got.body)
	}
}

// TestAliasAndReset: both are keyed by the device that they are about, and nobody
// unlinks through the collector.
func TestAliasAndReset(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.ok(s.post("/v1/batch", `{"batch":[{"type":"alias","anonymousId":"a2","previousId":"a1","userId":"ann","messageId":"1"},{"type":"reset","anonymousId":"a3","messageId":"2"},
		{"type":"$unlink","anonymousId":"a4","userId":"ann","messageId":"3"},{"type":"$rebuild","anonymousId":"a4","messageId":"4","raw":"AAAA"}]}`, auth))
	for _, r := range s.records(4) {
		e, _, err := decoded(t, event.Config{}, r)
		switch string(r.Key) {
		case "a1":
			if err != nil || e.Kind != event.KindAlias || e.Device != "a1" || e.User != "ann" {
				t.Errorf("%s: %+v, %v", r.Value, e, err)
			}
		case "a3":
			if err != nil || e.Kind != event.KindReset || e.Device != "a3" {
				t.Errorf("%s: %+v, %v", r.Value, e, err)
			}
		case "":
			if err == nil || strings.Contains(string(r.Value), "a4") {
				t.Errorf("%s: %v", r.Value, err)
			}
		default:
			t.Errorf("%s has the key %s", r.Value, r.Key)
		}
	}
}
