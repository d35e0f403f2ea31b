package collect_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/routes"
)

// TestPreflights: on every route of the collector, in each form, a page may send
// what the browser libraries of Segment, RudderStack and Mixpanel do, and never
// with cookies. RudderStack's sends SentAt, which was not on the list, so that
// its browsers sent nothing at all.
func TestPreflights(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	asked := "anonymousid,authorization,content-type,sentat,rsa-retry-attempt,rsa-recovered,rsa-since-last-attempt,rsa-since-first-attempt,rsa-retry-reason," +
		"content-encoding,x-retry-count,rsa-of-next-year"
	for _, r := range routes.Collector {
		for _, path := range r.Forms() {
			got := s.do("OPTIONS", path, "", header("Origin", "https://shop.example"), header("Access-Control-Request-Method", "POST"),
				header("Access-Control-Request-Headers", asked), header("Access-Control-Request-Private-Network", "true"))
			h := got.header
			if got.code != 204 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" ||
				h.Get("Access-Control-Allow-Private-Network") != "true" || h.Get("Access-Control-Max-Age") == "" {
				t.Fatalf("%s: %d %v", path, got.code, h)
			}
			allowed := strings.Split(strings.ToLower(h.Get("Access-Control-Allow-Headers")), ", ")
			for name := range strings.SplitSeq(asked, ",") {
				if !slices.Contains(allowed, name) {
					t.Fatalf("%s: a page may not send %s, but %v", path, name, allowed)
				}
			}
		}
	}
	got := s.do("OPTIONS", "/v1/batch", "", header("Access-Control-Request-Headers", "cookie, x-evil, rsa-\u00e4, rsa-x y"))
	if allowed := got.header.Get("Access-Control-Allow-Headers"); strings.Contains(strings.ToLower(allowed), "cookie") || strings.Contains(allowed, "evil") || strings.Contains(allowed, "rsa-x y") {
		t.Errorf("a page may send %s", allowed)
	}
	if got.header.Get("Access-Control-Allow-Private-Network") != "" {
		t.Error("a browser that did not ask is let into the private network")
	}
}

// TestOrigins: with a list, pages of other origins may not send; servers and the
// site's own pages may.
func TestOrigins(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *collect.Config) { c.Origins = []string{"https://shop.example", "http://localhost:3000"} })
	host := s.url
	body := `{"event":"A","anonymousId":"a","messageId":"m"}`
	sent := 0
	for name, c := range map[string]struct {
		origin, site string
		may, reads   bool
	}{
		"listed":               {"https://shop.example", "", true, true},
		"listed, in capitals":  {"https://Shop.example", "", true, true},
		"listed, with a port":  {"http://localhost:3000", "", true, true},
		"another port":         {"http://localhost:3001", "", false, false},
		"another scheme":       {"http://shop.example", "", false, false},
		"a longer name":        {"https://shop.example.evil.example", "", false, false},
		"another":              {"https://evil.example", "cross-site", false, false},
		"nobody's":             {"null", "cross-site", false, false},
		"a server":             {"", "", true, false},
		"the collector's own":  {host, "", true, false},
		"own behind an edge":   {"https://own.example", "same-origin", true, false},
		"a neighbour, by name": {"https://a.shop.example", "same-site", false, false},
	} {
		var opts []option
		if c.origin != "" {
			opts = append(opts, header("Origin", c.origin))
		}
		if c.site != "" {
			opts = append(opts, header("Sec-Fetch-Site", c.site))
		}
		pre := s.do("OPTIONS", "/v1/track", "", opts...)
		got := s.post("/v1/track", body, append(opts, auth)...)
		want := 200
		if !c.may {
			want = http.StatusForbidden
		} else {
			sent++
		}
		if got.code != want || (pre.code == 204) != c.may || !strings.Contains(got.header.Get("Vary"), "Origin") {
			t.Errorf("%s: %d and %d, want %d; %s", name, pre.code, got.code, want, got.body)
		}
		for _, r := range []reply{pre, got} {
			if allow := r.header.Get("Access-Control-Allow-Origin"); (allow == c.origin && allow != "") != c.reads || r.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: may read: %q", name, allow)
			}
		}
		// What the libraries fetch first is no other.
		if got := s.do("GET", "/v1/projects/demo/settings", "", opts...); (got.code == 200) != c.may {
			t.Errorf("%s: settings answer %d", name, got.code)
		}
	}
	s.records(sent)
}

// TestWaysIn: the ways in which libraries, beacons and pictures bring events.
func TestWaysIn(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	b64 := base64.StdEncoding.EncodeToString
	track := `{"event":"A","anonymousId":"a","timestamp":"2026-11-20T10:00:00Z","writeKey":"demo"}`
	mp := `{"event":"A","properties":{"token":"demo","distinct_id":"$device:a","time":1795168800}}`
	form := header("Content-Type", "application/x-www-form-urlencoded")
	zipped := zipped(`{"batch":[` + track + `],"writeKey":"demo"}`)
	noColon := header("Authorization", "Basic "+b64([]byte("demo")))
	const gif = "GIF89a"
	for i, c := range []struct {
		method, path, body, answer string
		opts                       []option
	}{
		{"POST", "/v1/t", track, `{"success": true}`, []option{header("Content-Type", "text/plain;charset=UTF-8")}}, // sendBeacon
		{"POST", "/v1/track/", track, `{"success": true}`, nil},
		{"POST", "//v1//track", track, `{"success": true}`, nil},
		{"POST", "/v1/track", strings.Replace(track, `,"writeKey":"demo"`, "", 1), `{"success": true}`, []option{noColon}},
		{"POST", "/beacon/v1/batch?writeKey=demo", `{"batch":[` + track + `]}`, `{"success": true}`, []option{header("Content-Type", "text/plain")}},
		{"POST", "/v1/batch/", zipped, `{"success": true}`, []option{header("Content-Encoding", "gzip")}},
		{"POST", "/v1/batch", zipped, `{"success": true}`, nil}, // the header got lost
		{"GET", "/v1/pixel/track?data=" + url.QueryEscape(b64([]byte(track))), "", gif, nil},
		{"GET", "/v1/pixel/track/?data=" + url.QueryEscape(track), "", gif, nil},
		{"POST", "/track/?ip=1&verbose=1&_=1", "data=" + url.QueryEscape(mp), `{"error":null,"status":1}` + "\n", []option{form}},
		{"POST", "/track/?ip=1&_=1", "data=" + url.QueryEscape(b64([]byte(mp))), "1", []option{form}},
		{"POST", "/track", "[" + mp + "]", "1", []option{header("Authorization", "Basic "+b64([]byte("a secret of Mixpanel's:")))}},
		{"POST", "//import/?strict=1", "[" + mp + "]", `{"code":200,"num_records_imported":1,"status":"OK"}` + "\n", nil},
		{"GET", "/track/?data=" + url.QueryEscape(b64([]byte(mp))) + "&ip=1", "", "1", nil},
		{"GET", "/track/?img=1&data=" + url.QueryEscape(b64([]byte(mp))), "", gif, nil},
		{"POST", "/engage/?verbose=1", "data=" + url.QueryEscape(b64([]byte(`{"$token":"demo","$distinct_id":"u","$set":{"a":1}}`))), `{"error":null,"status":1}` + "\n", []option{form}},
	} {
		got := s.do(c.method, c.path, c.body, c.opts...)
		if got.code != 200 || !strings.HasPrefix(got.body, c.answer) {
			t.Errorf("%d: %s %s: %d %q, want %q", i, c.method, c.path, got.code, got.body, c.answer)
		}
		if i := s.records(1); !strings.Contains(string(i[0].Value), `"anonymousId":"a"`) && !strings.Contains(string(i[0].Value), `"userId":"u"`) {
			t.Errorf("%s %s became %s", c.method, c.path, i[0].Value)
		}
	}
	for path, want := range map[string]int{"/v1/pixel/track": 400, "/v1/pixel/nothing?data=e30": 404, "/v1/pixel/track?data=e30": 401, "/track/?img=1": 400} {
		if got := s.do("GET", path, ""); got.code != want || got.header.Get("Content-Type") != "image/gif" {
			t.Errorf("GET %s answers %d %s", path, got.code, got.header.Get("Content-Type"))
		}
	}
	s.nothing()
}
