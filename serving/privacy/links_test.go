package privacy_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/privacy"
	"github.com/microseg/microseg/serving/token"
	"github.com/twmb/franz-go/pkg/kgo"
)

// send posts a body as who has the authorization.
func (s *site) send(path, authorization, body string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(body))
	check(s.t, err)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return s.answered(r)
}

// TestToken: the admin gets a token that names the user for as long as asked,
// good for links alone; nobody else gets one.
func TestToken(t *testing.T) {
	t.Parallel()
	keys, err := token.ParseKeys("k1:000102030405060708090a0b0c0d0e0f")
	check(t, err)
	s := open(t, "-1", func(c *privacy.Config) { c.Keys, c.Site = keys, "shop" })
	const path = "/v1/identity/token"
	for name, c := range map[string]struct {
		authorization, body string
		status              int
	}{
		"nobody":         {"", `{"userId":"ann"}`, 401},
		"a write key":    {"Bearer demo", `{"userId":"ann"}`, 403},
		"a blocked id":   {bearer, `{"userId":"NULL"}`, 400},
		"no id":          {bearer, `{}`, 400},
		"too long an id": {bearer, `{"userId":"` + strings.Repeat("x", 401) + `"}`, 400},
		"too long":       {bearer, `{"userId":"ann","ttl_s":86401}`, 400},
		"negative":       {bearer, `{"userId":"ann","ttl_s":-1}`, 400},
		"a typo":         {bearer, `{"userId":"ann","ttl":5}`, 400},
		"no JSON":        {bearer, `userId=ann`, 400},
	} {
		if status, body := s.send(path, c.authorization, c.body); status != c.status || !strings.Contains(body, "error") {
			t.Errorf("%s: %d %s, not %d", name, status, body, c.status)
		}
	}
	for body, ttl := range map[string]time.Duration{`{"userId":"ann"}`: 10 * time.Minute, `{"userId":"ann","ttl_s":86400}`: 24 * time.Hour, `{"userId":"` + strings.Repeat("é", 200) + `"}`: 10 * time.Minute} {
		status, text := s.send(path, bearer, body)
		var out struct {
			Token, Parameter string
			Expires          time.Time
		}
		if err := json.Unmarshal([]byte(text), &out); err != nil || status != 200 || out.Parameter != "ms_link="+out.Token {
			t.Fatalf("%s: %d %s", body, status, text)
		}
		claims, err := keys.Verify(out.Token, token.Link, "shop", out.Expires.Add(-time.Second))
		if err != nil || !strings.Contains(body, claims.User) || time.Until(out.Expires) > ttl || time.Until(out.Expires) < ttl-time.Minute {
			t.Errorf("%s: %+v, %v, expires %v", body, claims, err, out.Expires)
		}
		if _, err := keys.Verify(out.Token, token.Link, "shop", out.Expires); err != token.ErrExpired {
			t.Errorf("when it expires: %v", err)
		}
		if _, err := keys.Verify(out.Token, token.Segment, "shop", time.Now()); err != token.ErrPurpose {
			t.Errorf("as a segment's: %v", err)
		}
	}
	if status, body := open(t, "-1", nil).send(path, bearer, `{"userId":"ann"}`); status != 404 {
		t.Errorf("without keys: %d %s", status, body)
	}
}

// TestUnlink: what the admin takes back is on the log when it is answered, where
// the device's events are.
func TestUnlink(t *testing.T) {
	t.Parallel()
	s := open(t, "-1", nil)
	const path = "/v1/identity/unlink"
	for name, c := range map[string]struct {
		authorization, body string
		status              int
	}{
		"nobody":        {"", `{"anonymousId":"a1","userId":"ann"}`, 401},
		"a write key":   {"Bearer demo", `{"anonymousId":"a1","userId":"ann"}`, 403},
		"no user":       {bearer, `{"anonymousId":"a1"}`, 400},
		"no device":     {bearer, `{"anonymousId":"undefined","userId":"ann"}`, 400},
		"a user's name": {bearer, `{"anonymousId":"user:ann","userId":"ann"}`, 400},
		"too long":      {bearer, `{"anonymousId":"` + strings.Repeat("x", 513) + `","userId":"ann"}`, 400},
	} {
		if status, body := s.send(path, c.authorization, c.body); status != c.status {
			t.Errorf("%s: %d %s, not %d", name, status, body, c.status)
		}
	}
	status, body := s.send(path, bearer, `{"anonymousId":"a\"1","userId":"ann"}`)
	var out struct {
		Receipt   string
		Partition int32
		Offset    int64
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != http.StatusAccepted || out.Receipt == "" {
		t.Fatalf("%d %s", status, body)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(t, err)
	defer cl.Close()
	r := cl.PollFetches(t.Context()).Records()[0]
	d, err := event.NewDecoder(event.Config{})
	check(t, err)
	var e event.Event
	check(t, d.Decode(r.Value, event.Unstated, 0, &e))
	if string(r.Key) != `a"1` || r.Partition != out.Partition || r.Offset != out.Offset || e.Kind != event.KindUnlink || e.Device != `a"1` || e.User != "ann" {
		t.Errorf("on the log is %s under %s at %d/%d: %+v, told was %s", r.Value, r.Key, r.Partition, r.Offset, e, body)
	}
}
