package collect_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/serving/collect"
)

func fields(t testing.TB, raw []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return m
}

// TestRoutes: every route and form of Segment's API puts the event on the log
// with its type and stamps, keyed by its device, without key and address.
func TestRoutes(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for word, typ := range map[string]string{"track": "track", "t": "track", "page": "page", "p": "page", "screen": "screen", "s": "screen",
		"identify": "identify", "i": "identify", "alias": "alias", "a": "alias", "group": "group", "g": "group", "reset": "reset"} {
		body := `{"writeKey":"demo","event":"Product Viewed","anonymousId":"a1","previousId":"a1","userId":"u1","ip":"9.9.9.9","receivedAt":"1999-01-01T00:00:00Z",` +
			`"context":{"ip":"1.2.3.4","locale":"de"},"properties":{"price":12.50},"timestamp":"` + time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano) + `","sentAt":"` + time.Now().UTC().Format(time.RFC3339Nano) + `"}`
		for name, opts := range map[string][]option{
			"body key":   {header("Content-Type", "text/plain")},
			"basic auth": {auth, header("Content-Type", "application/json")},
			"gzip":       {header("Content-Encoding", "gzip"), header("Content-Type", "application/json")},
			"bare gzip":  {header("Content-Type", "text/plain")},
			"false gzip": {header("Content-Encoding", "gzip")},
			"no type":    nil,
		} {
			sent := body
			if name == "gzip" || name == "bare gzip" {
				sent = zipped(body)
			}
			s.ok(s.post("/v1/"+word, sent, opts...))
			r := s.records(1)[0]
			m := fields(t, r.Value)
			if string(r.Key) != "a1" || m["type"] != typ || m["messageId"] == "" || m["receivedAt"] == "1999-01-01T00:00:00Z" || m["writeKey"] != nil || strings.Contains(string(r.Value), "1.2.3.4") || strings.Contains(string(r.Value), "9.9.9.9") {
				t.Errorf("%s, %s: key %s, %s", word, name, r.Key, r.Value)
			}
			e, _, err := decoded(t, event.Config{}, r)
			if err != nil || e.Device != "a1" || !e.Kind.Control() && (e.User != "u1" || e.Ingest < 0) {
				t.Errorf("%s, %s: %+v, %v", word, name, e, err)
			}
		}
	}
}

// TestBatch: what the batch says goes for its events unless they say otherwise.
func TestBatch(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch?writeKey=demo"} {
		s := start(t, nil)
		body := `{"sentAt":"2026-03-04T12:00:00Z","context":{"locale":"de","app":{"name":"x"},"ip":"1.2.3.4"},"integrations":{"All":false},"batch":[
			{"type":"track","event":"A","anonymousId":"a","messageId":"1","timestamp":"2026-03-04T11:59:58Z"},
			{"type":"page","userId":"u","messageId":"2","timestamp":"2026-03-04T11:59:58Z","sentAt":"2026-03-04T11:59:59Z","context":{"locale":"fr"},"integrations":{"Mixpanel":true}},
			{"type":"track","event":"A","anonymousId":"a","messageId":"3"}]}`
		opts := []option{auth}
		if strings.Contains(path, "beacon") {
			opts = nil
		}
		s.ok(s.post(path, body, opts...))
		got := map[string]map[string]any{}
		for _, r := range s.records(3) {
			m := fields(t, r.Value)
			got[m["messageId"].(string)] = m
			e, _, err := decoded(t, event.Config{}, r)
			if err != nil {
				t.Fatalf("%s: %v", r.Value, err)
			}
			// The clock is wrong by months; the differences to the batch's sentAt are
			// right, and an event's own sentAt is of an earlier transport.
			want := map[string]int64{"1": 2000, "2": 2000, "3": 0}[m["messageId"].(string)]
			received, err := time.Parse(time.RFC3339Nano, m["receivedAt"].(string)) // the record's own time is later
			if err != nil {
				t.Fatalf("%s: %v", r.Value, err)
			}
			if ago := received.UnixMilli() - e.Time; ago < want || ago > want+2 {
				t.Errorf("%s happened %d ms before its receipt, not %d", m["messageId"], ago, want)
			}
		}
		for id, want := range map[string]string{
			"1": `{"app":{"name":"x"},"locale":"de"} {"All":false}`,
			"2": `{"app":{"name":"x"},"locale":"fr"} {"All":false,"Mixpanel":true}`,
		} {
			c, _ := json.Marshal(got[id]["context"])
			i, _ := json.Marshal(got[id]["integrations"])
			if string(c)+" "+string(i) != want {
				t.Errorf("%s: %s %s", id, c, i)
			}
		}
	}
}

// TestBadEventInBatch: one bad event costs no other, and becomes a dead letter
// with its reason and what was sent.
func TestBadEventInBatch(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	huge := `{"type":"track","event":"A","anonymousId":"big","context":{"ip":"1.2.3.4"},"properties":{"x":"` + strings.Repeat("y", 33_000) + `"}}`
	deep := `{"type":"track","event":"A","anonymousId":"deep","properties":` + strings.Repeat(`{"a":`, 30_000) + "1" + strings.Repeat("}", 30_000) + `}`
	bad := map[string]event.Reason{
		huge: event.Oversized, deep: event.Malformed,
		`{"type":"track","event":"A"}`:                                           event.Malformed,
		`{"type":"nonsense","anonymousId":"a"}`:                                  event.Malformed,
		`{"type":"track","event":nope,"anonymousId":"a"}`:                        event.Malformed,
		`{"type":"track","event":"A","anonymousId":"a","timestamp":"yesterday"}`: event.Malformed,
		`{"type":"$rejected","reason":"oversized","anonymousId":"a"}`:            event.Malformed,
		`17`: event.Malformed, `"text"`: event.Malformed, `null`: event.Malformed, `[1]`: event.Malformed,
		"{\"type\":\"track\",\"event\":\"A\",\"anonymousId\":\"\xff\"}":                     event.Malformed,
		`{"type":"track","event":"A","anonymousId":"a","timestamp":"2200-01-01T00:00:00Z"}`: event.Future,
	}
	const good = `{"type":"track","event":"Good","anonymousId":"a"}`
	events := []string{good}
	for b := range bad {
		events = append(events, b, good)
	}
	s.ok(s.post("/v1/batch", `{"batch":[`+strings.Join(events, ",")+`]}`, auth))
	seen := map[event.Reason]int{}
	for _, r := range s.records(len(events)) {
		if len(r.Value) > 32<<10 {
			t.Errorf("a record of %d bytes", len(r.Value))
		}
		_, kept, err := decoded(t, event.Config{}, r)
		if err == nil {
			seen[""]++
			continue
		}
		reason := err.(*event.Error).Reason
		seen[reason]++
		if len(kept) == 0 || strings.Contains(string(kept), "1.2.3.4") || reason == event.Oversized && !strings.Contains(string(kept), "yyyy") {
			t.Errorf("%v: the dead letter keeps %.80s", err, kept)
		}
	}
	want := map[event.Reason]int{"": len(bad) + 1, event.Oversized: 1, event.Future: 1, event.Malformed: len(bad) - 2}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("%v, not %v", seen, want)
	}
}

// TestRefused: what is refused as a whole, how, and that nothing of it is on
// the log.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	const event = `{"type":"track","event":"A","anonymousId":"a"}`
	long := `{"batch":[` + event + strings.Repeat(" ", 600<<10) + `]}`
	for name, c := range map[string]struct {
		path, body string
		opts       []option
		code       int
	}{
		"not JSON":                 {"/v1/track", "hello", []option{auth}, 400},
		"half JSON":                {"/v1/track", event[:20], []option{auth}, 400},
		"trailing":                 {"/v1/track", event + "x", []option{auth}, 400},
		"empty":                    {"/v1/track", "", []option{auth}, 400},
		"an array":                 {"/v1/track", "[" + event + "]", []option{auth}, 400},
		"bottomless":               {"/v1/track", strings.Repeat("[", 400_000), []option{auth}, 400},
		"bottomless, closed":       {"/v1/track", `{"a":` + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000) + "}", []option{auth}, 400},
		"a batch without batch":    {"/v1/batch", event, []option{auth}, 400},
		"a batch of an object":     {"/v1/batch", `{"batch":{}}`, []option{auth}, 400},
		"a batch that ends":        {"/v1/batch", `{"batch":[` + event, []option{auth}, 400},
		"broken gzip":              {"/v1/batch", "\x1f\x8b\x08rubbish", []option{auth}, 400},
		"cut gzip":                 {"/v1/track", zipped(event)[:20], []option{auth}, 400},
		"no key":                   {"/v1/track", event, nil, 401},
		"no key in a batch":        {"/v1/batch", `{"batch":[` + event + `]}`, nil, 401},
		"unknown key":              {"/v1/track", event, []option{func(r *http.Request) { r.SetBasicAuth("guess", "") }}, 401},
		"unknown key in the body":  {"/v1/track", `{"writeKey":"guess",` + event[1:], nil, 401},
		"the header's key decides": {"/v1/track", `{"writeKey":"demo",` + event[1:], []option{func(r *http.Request) { r.SetBasicAuth("guess", "") }}, 401},
		"long":                     {"/v1/batch", long, []option{auth}, 413},
		"long when unpacked":       {"/v1/batch", zipped(long), []option{auth}, 413},
		"bomb":                     {"/v1/batch", zipped(strings.Repeat("\x00", 100<<20)), []option{auth}, 413},
		"bomb in a bomb":           {"/v1/batch", zipped(zipped(strings.Repeat("\x00", 100<<20))), []option{auth}, 400},
		"too many events":          {"/v1/batch", `{"batch":[1` + strings.Repeat(",1", 2500) + `]}`, []option{auth}, 413},
		"reading":                  {"/v1/nothing", event, []option{auth}, 404},
	} {
		r := s.post(c.path, c.body, c.opts...)
		if r.code != c.code {
			t.Errorf("%s: answered %d %s, not %d", name, r.code, r.body, c.code)
		}
	}
	if r := s.do("GET", "/v1/track", "", auth); r.code != http.StatusMethodNotAllowed {
		t.Errorf("a write key reads: %d", r.code)
	}
	s.nothing()
}

// TestLimits: an event and a batch of exactly Segment's limits are taken, also
// with what the collector adds.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	event32 := `{"type":"track","event":"A","anonymousId":"a","properties":{"x":"`
	event32 += strings.Repeat("y", 32<<10-len(event32)-3) + `"}}`
	body := `{"context":{"page":{"title":"` + strings.Repeat("t", 1000) + `"}},"batch":[` + event32
	body += strings.Repeat(" ", 500<<10-len(body)-2) + `]}`
	if len(event32) != 32<<10 || len(body) != 500<<10 {
		t.Fatal(len(event32), len(body))
	}
	agent := header("User-Agent", "Mozilla/5.0 "+strings.Repeat("a", 2000))
	s.ok(s.post("/v1/batch", body, auth, agent))
	if _, _, err := decoded(t, event.Config{}, s.records(1)[0]); err != nil {
		t.Error(err)
	}
	s.ok(s.post("/v1/batch", `{"batch":[]}`, auth))
	s.ok(s.post("/v1/m", `{"series":[]}`))
	s.nothing()
}

// TestCORS: any page may send and read the answer, and no origin is reflected.
func TestCORS(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	origin := header("Origin", "https://evil.example")
	for _, path := range []string{"/v1/t", "/v1/batch", "/track", "/track/", "/engage", "/v1/projects/demo/settings"} {
		r := s.do("OPTIONS", path, "", origin, header("Access-Control-Request-Method", "POST"), header("Access-Control-Request-Headers", "authorization,content-type,x-retry-count"))
		h := r.header
		if r.code != 204 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Access-Control-Max-Age") == "" {
			t.Errorf("%s: %+v", path, r)
		}
		for _, want := range []string{"Authorization", "Content-Type", "X-Retry-Count"} {
			if !strings.Contains(h.Get("Access-Control-Allow-Headers"), want) {
				t.Errorf("%s does not allow %s", path, want)
			}
		}
	}
	for _, r := range []reply{s.post("/v1/t", `{"event":"marker"}`, auth, origin), s.post("/v1/t", `{`, auth, origin), s.post("/v1/t", `{}`, origin)} {
		if r.header.Get("Access-Control-Allow-Origin") != "*" || strings.Contains(fmt.Sprint(r), "evil") {
			t.Errorf("%+v", r)
		}
	}
}

// TestSettings: what Segment's browser library fetches before it sends.
func TestSettings(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	if r := s.do("GET", "/v1/projects/guess/settings", ""); r.code != 401 {
		t.Errorf("an unknown key: %d", r.code)
	}
	io := fields(t, []byte(s.do("GET", "/v1/projects/demo/settings", "").body))["integrations"].(map[string]any)["Segment.io"].(map[string]any)
	if "http://"+strings.TrimSuffix(io["apiHost"].(string), "/v1") != s.url || io["protocol"] != "http" || io["apiKey"] != key {
		t.Errorf("%v", io)
	}
	s = start(t, func(c *collect.Config) { c.PublicURL = "https://c.example/in/" })
	if r := s.do("GET", "/v1/projects/demo/settings", ""); !strings.Contains(r.body, `"c.example/in/v1"`) || !strings.Contains(r.body, `"https"`) {
		t.Errorf("%s", r.body)
	}
}

// TestSourceConfig: what RudderStack's browser library fetches before it sends.
func TestSourceConfig(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	if r := s.do("GET", "/sourceConfig/?writeKey=guess", ""); r.code != 401 {
		t.Errorf("an unknown key: %d", r.code)
	}
	for _, r := range []reply{s.do("GET", "/sourceConfig/?p=npm&writeKey=demo", ""), s.do("GET", "/sourceConfig", "", auth)} {
		if source, _ := fields(t, []byte(r.body))["source"].(map[string]any); source["enabled"] != true || source["destinations"] == nil {
			t.Errorf("%s", r.body)
		}
	}
}

// TestClock: events are received by the clock that tests move.
func TestClock(t *testing.T) { // not parallel: it moves the clock of the process
	s := start(t, nil)
	clock.Advance(time.Hour)
	defer clock.Advance(-time.Hour)
	s.ok(s.post("/v1/page", `{"anonymousId":"a"}`, auth))
	e, _, err := decoded(t, event.Config{}, s.records(1)[0])
	if ahead := e.Time - time.Now().UnixMilli(); err != nil || ahead < 3_500_000 {
		t.Errorf("%d ms ahead, %v", ahead, err)
	}
}
