package edge

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/testing/harness/workerd"
)

func startWorker(t *testing.T, b *backend) *workerd.Server {
	t.Helper()
	s, err := workerd.Start(t.Context(), t.TempDir(), Worker(), map[string]string{
		"SITE_ORIGIN": b.site.URL, "NODE_ORIGIN": b.node.URL, "MICROSEG_TOKEN_KEYS": testKeys, "MICROSEG_SITE": site})
	check(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestWorker: the worker believes what the keys have signed and nothing else,
// asks the node for a fragment once, and never for a token.
func TestWorker(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := startWorker(t, b)
	want := func(what, body, rule string) {
		t.Helper()
		if !strings.Contains(body, rule) || strings.Count(body, "data-ms-rule=") != 1 {
			t.Errorf("%s: %s\n%s", what, body, s.Log())
		}
	}
	body, answer := get(t, s.URL()+"/plain", "")
	want("without a token", body, welcome)
	if cc := answer.Header.Get("Cache-Control"); cc != "private, no-store" {
		t.Errorf("an assembled page says Cache-Control: %s", cc)
	}
	body, _ = get(t, s.URL()+"/plain", visitorToken(t, testKeys, abandoner, time.Minute))
	want("an abandoner", body, cartHero)
	time.Sleep(300 * time.Millisecond) // the cache is written behind the answer
	before := b.fragments.Load()
	body, _ = get(t, s.URL()+"/plain", visitorToken(t, testKeys, abandoner, 2*time.Minute))
	want("another abandoner", body, cartHero)
	if n := b.fragments.Load(); n != before {
		t.Errorf("%d requests for a fragment that is in the cache", n-before)
	}
	for what, cookie := range map[string]string{
		"forged":         visitorToken(t, otherKeys, abandoner, time.Minute),
		"expired":        visitorToken(t, testKeys, abandoner, -time.Minute),
		"no token":       "v1.x.y",
		"a claim's text": strings.Replace(visitorToken(t, testKeys, abandoner, time.Minute), "v1.", "v1.e", 1),
	} {
		body, _ = get(t, s.URL()+"/plain", cookie)
		want(what, body, welcome)
	}
	if b.tokens.Load() != 0 {
		t.Error("the node was asked for a token")
	}
	if _, answer := get(t, s.URL()+"/edge/token", ""); answer.StatusCode != http.StatusNotFound {
		t.Errorf("the world may ask for claims: %d", answer.StatusCode)
	}
}

// TestWorkerStaysHome: no path makes the worker ask another host, and what is
// between edges and nodes is not for the world.
func TestWorkerStaysHome(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := startWorker(t, b)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { t.Error("another host was asked") }))
	defer evil.Close()
	host := strings.TrimPrefix(evil.URL, "http://")
	for _, path := range []string{"//" + host + "/plain", "/\\" + host + "/plain", "///" + host + "/", "/%2f" + host + "/plain"} {
		for _, cookie := range []string{"", "session=1"} {
			raw(t, s.URL(), path, cookie)
		}
	}
	before := b.tokens.Load() + b.fragments.Load() // pages have fragments
	for _, path := range []string{"/edge/token", "/%65dge/token", "//edge/token", "/esi/hero?segment=" + abandoner, "/%65si/hero"} {
		if status := raw(t, s.URL(), path, "session=1"); status != http.StatusNotFound {
			t.Errorf("%s answers %d", path, status)
		}
	}
	if b.tokens.Load()+b.fragments.Load() != before {
		t.Error("the node was asked for what is not for the world")
	}
}

// raw sends a request whose path no client library mends.
func raw(t *testing.T, url, path, cookie string) int {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	check(t, err)
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: shop.example\r\nCookie: %s\r\nX-Microseg-Token: %s\r\nConnection: close\r\n\r\n", path, cookie, visitorToken(t, testKeys, abandoner, time.Minute))
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	check(t, err)
	answer.Body.Close()
	return answer.StatusCode
}

// TestWorkerKey: what a client says of itself makes no other fragment.
func TestWorkerKey(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := startWorker(t, b)
	get(t, s.URL()+"/plain", "")
	time.Sleep(300 * time.Millisecond)
	for _, f := range []func(*http.Request){
		func(r *http.Request) { r.Header.Set("X-Forwarded-Host", "evil.example") },
		func(r *http.Request) { r.Header.Set("Cookie", "_ga=2") },
		func(r *http.Request) { r.URL.RawQuery = "segment=" + abandoner + "&claim=v1.a.b" },
		func(r *http.Request) { r.Header.Set("X-Microseg-Segment", abandoner) },
	} {
		if body, _ := get(t, s.URL()+"/plain", "", f); !strings.Contains(body, welcome) {
			t.Errorf("a client got %s", body)
		}
	}
	if n := b.fragments.Load(); n != 1 {
		t.Errorf("%d requests for one fragment", n)
	}
	for _, r := range b.seen {
		if r.Header.Get("X-Forwarded-Host") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("the node was told %v", r.Header)
		}
	}
}

// TestWorkerTellsTheClient: the node learns whose a request is from the platform, not from
// what the client says of itself; all visitors shared the limits of one otherwise.
func TestWorkerTellsTheClient(t *testing.T) {
	t.Parallel()
	s := startWorker(t, newBackend(t))
	r, err := http.NewRequest("POST", s.URL()+"/v1/batch", strings.NewReader("{}"))
	check(t, err)
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	r.Header.Set("CF-Connecting-IP", "203.0.113.7")
	answer, err := http.DefaultClient.Do(r)
	check(t, err)
	answer.Body.Close()
	if got := answer.Header.Get("X-Was-For"); answer.StatusCode != 200 || got != "203.0.113.7" {
		t.Errorf("answered %d, the node was told of %q", answer.StatusCode, got)
	}
}

// TestWorkerOutage: stale content while everything is down, and the page's own
// where nothing was kept.
func TestWorkerOutage(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.ttl.Store(1)
	s := startWorker(t, b)
	cookie := visitorToken(t, testKeys, abandoner, time.Hour)
	for _, c := range []string{"", cookie} {
		get(t, s.URL()+"/plain", c)
	}
	time.Sleep(1500 * time.Millisecond)
	b.down.Store(true)
	for what, c := range map[string]struct{ cookie, rule string }{"nobody": {"", welcome}, "an abandoner": {cookie, cartHero}} {
		if body, answer := get(t, s.URL()+"/plain", c.cookie); answer.StatusCode != 200 || !strings.Contains(body, c.rule) {
			t.Errorf("%s, with everything down: %d %s\n%s", what, answer.StatusCode, body, s.Log())
		}
	}
	body, answer := get(t, s.URL()+"/plain", visitorToken(t, testKeys, "everyone/low_intent", time.Hour))
	if answer.StatusCode != 200 || strings.Contains(body, "data-ms-rule") || !strings.Contains(body, "<p id=text>") {
		t.Errorf("a new visitor: %d %s", answer.StatusCode, body)
	}
	b.down.Store(false)
	n := b.fragments.Load()
	for deadline := time.Now().Add(20 * time.Second); b.fragments.Load() == n; time.Sleep(200 * time.Millisecond) {
		get(t, s.URL()+"/plain", "")
		if time.Now().After(deadline) {
			t.Fatal("the cache is not renewed once the node is back")
		}
	}
}

// TestWorkerPersonal: what is personal goes through, and is not kept.
func TestWorkerPersonal(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := startWorker(t, b)
	for range 2 {
		_, answer := get(t, s.URL()+"/api/segment?token="+visitorToken(t, testKeys, abandoner, time.Minute), "")
		if cc := answer.Header.Get("Cache-Control"); cc != "private, no-store" {
			t.Errorf("a personal answer says %q", cc)
		}
		r, err := http.Post(s.URL()+"/v1/batch", "text/plain", strings.NewReader("{}"))
		check(t, err)
		r.Body.Close()
	}
	if n := b.others.Load(); n != 4 {
		t.Errorf("%d of 4 personal requests reached the node", n)
	}
	for _, who := range []string{"ann", "bob"} {
		get(t, s.URL()+"/plain", "", func(r *http.Request) { r.Header.Set("Cookie", "session="+who) })
	}
	if n := b.pages.Load(); n != 2 {
		t.Errorf("%d requests for two visitors' own pages", n)
	}
}

// TestSavingWorker reports how many requests the worker keeps from the backend.
// Without its caches each page view is one for the page and one for the
// fragment.
func TestSavingWorker(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := startWorker(t, b)
	const views = 1500
	settings := replay(t, views, func(path, cookie string) {
		if body, _ := get(t, s.URL()+path, cookie); strings.Count(body, "data-ms-rule=") != 1 {
			t.Fatalf("a page without its fragment: %s\n%s", body, s.Log())
		}
	})
	saving(t, "worker", 2*views, b.total(), settings)
}
