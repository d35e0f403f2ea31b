package edge

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/testing/harness/varnish"
)

func startVarnish(t *testing.T, b *backend) *varnish.Server {
	t.Helper()
	vcl, err := VCL(b.addrSite, b.addrNode)
	check(t, err)
	s, err := varnish.Start(t.Context(), t.TempDir(), vcl)
	check(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const (
	welcome  = `data-ms-rule="welcome_hero"`
	cartHero = `data-ms-rule="cart_hero"`
	highHero = `data-ms-rule="high_hero"`
)

// TestVarnish: includes are filled by what the visitor's token proves, from the
// cache where somebody of the segment has been there before, and by nothing
// that a client says.
func TestVarnish(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	v := startVarnish(t, b)
	want := func(what, body, rule string) {
		t.Helper()
		if !strings.Contains(body, rule) || strings.Count(body, "data-ms-rule=") != 1 || strings.Contains(body, "esi:") {
			t.Errorf("%s: %s\n%s", what, body, v.Log())
		}
	}
	body, answer := get(t, v.URL()+"/", "")
	want("without a token", body, welcome)
	if cc := answer.Header.Get("Cache-Control"); cc != "private, no-store" {
		t.Errorf("an assembled page says Cache-Control: %s", cc)
	}
	body, _ = get(t, v.URL()+"/", visitorToken(t, testKeys, abandoner, time.Minute))
	want("an abandoner", body, cartHero)
	before := b.fragments.Load()
	body, _ = get(t, v.URL()+"/", visitorToken(t, testKeys, abandoner, 2*time.Minute))
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
		body, _ = get(t, v.URL()+"/", cookie)
		want(what, body, welcome)
	}
	body, _ = get(t, v.URL()+"/esi/hero?segment="+abandoner+"&page=home&claim=v1.a.b", "", func(r *http.Request) {
		r.Header.Set("X-Microseg-Segment", abandoner)
		r.Header.Set("X-Microseg-Claim", "v1.a.b")
		r.Header.Set("X-Microseg-Token", visitorToken(t, testKeys, abandoner, time.Minute))
	})
	want("what a client claims", body, welcome)
	if body, answer := get(t, v.URL()+"/edge/token", ""); answer.StatusCode != http.StatusNotFound {
		t.Errorf("the world may ask for claims: %d %s", answer.StatusCode, body)
	}
}

// TestVarnishKey: only what a fragment depends on makes another one.
func TestVarnishKey(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	v := startVarnish(t, b)
	get(t, v.URL()+"/esi/hero?page=home", "")
	for _, f := range []func(*http.Request){
		func(r *http.Request) { r.Host = "evil.example" },
		func(r *http.Request) { r.Header.Set("X-Forwarded-Host", "evil.example") },
		func(r *http.Request) { r.Header.Set("Cookie", "session=1") },
		func(r *http.Request) { r.URL.RawQuery = "x=1&page=home&y=2" },
		func(r *http.Request) { r.Header.Set("Accept-Language", "de") },
	} {
		get(t, v.URL()+"/esi/hero?page=home", "", f)
	}
	if n := b.fragments.Load(); n != 1 {
		t.Errorf("%d requests for one fragment", n)
	}
	get(t, v.URL()+"/esi/hero?page=product", "")
	get(t, v.URL()+"/esi/hero?page=home", "", func(r *http.Request) {
		r.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148")
	})
	if n := b.fragments.Load(); n != 3 {
		t.Errorf("%d requests for three fragments", n)
	}
	for _, r := range b.seen {
		if strings.Contains(r.Host, "evil") || r.Header.Get("X-Forwarded-Host") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("the node was told %s %v", r.Host, r.Header)
		}
	}
}

// TestVarnishInert: an include that a visitor wrote is text.
func TestVarnishInert(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	v := startVarnish(t, b)
	b.hostile.Store(`&lt;esi:include src="/esi/hero"/&gt; <!--esi <b>x</b> -->`)
	body, _ := get(t, v.URL()+"/plain", "")
	if !strings.Contains(body, `<esi:include src="/esi/hero?page=home"/>`) || !strings.Contains(body, "<!--esi") {
		t.Errorf("a page that is no ESI was parsed: %s", body)
	}
	// On a page that is, text is escaped by the site, and only fragments are included.
	b.hostile.Store(`&lt;esi:include src="/v1/profiles/u:ann"/&gt;<esi:include src="/api/segment?anonymousId=1"/>`)
	body, _ = get(t, v.URL()+"/hostile", "")
	if b.others.Load() != 0 {
		t.Errorf("an include reached the API: %s", body)
	}
}

// TestVarnishPersonal: nothing personal is kept, and streams stream.
func TestVarnishPersonal(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	v := startVarnish(t, b)
	for range 3 {
		get(t, v.URL()+"/api/segment?token="+visitorToken(t, testKeys, abandoner, time.Minute), "")
		r, err := http.Post(v.URL()+"/v1/batch", "text/plain", strings.NewReader("{}"))
		check(t, err)
		r.Body.Close()
	}
	if n := b.others.Load(); n != 6 {
		t.Errorf("%d of 6 personal requests reached the node", n)
	}
	get(t, v.URL()+"/", "", func(r *http.Request) { r.Header.Set("Cookie", "session=ann") })
	get(t, v.URL()+"/", "", func(r *http.Request) { r.Header.Set("Cookie", "session=bob") })
	if n := b.pages.Load(); n != 2 {
		t.Errorf("%d requests for two visitors' own pages", n)
	}
}

// TestVarnishOutage: pages keep their content while site and node are down.
func TestVarnishOutage(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.ttl.Store(1)
	v := startVarnish(t, b)
	cookie := visitorToken(t, testKeys, abandoner, time.Hour)
	for _, c := range []string{"", cookie} {
		get(t, v.URL()+"/", c)
	}
	b.down.Store(true)
	time.Sleep(3 * time.Second) // fragments are old by now, and the probe has failed
	for what, c := range map[string]struct{ cookie, rule string }{"nobody": {"", welcome}, "an abandoner": {cookie, cartHero}} {
		if body, answer := get(t, v.URL()+"/", c.cookie); answer.StatusCode != 200 || !strings.Contains(body, c.rule) {
			t.Errorf("%s, with everything down: %d %s", what, answer.StatusCode, body)
		}
	}
	// Someone of whose segment nothing is in the cache gets what everyone gets.
	if body, answer := get(t, v.URL()+"/", visitorToken(t, testKeys, "everyone/low_intent", time.Hour)); answer.StatusCode != 200 || !strings.Contains(body, "<p id=text>") {
		t.Errorf("a new visitor: %d %s", answer.StatusCode, body)
	}
	b.down.Store(false)
	deadline := time.Now().Add(20 * time.Second)
	for n := b.fragments.Load(); b.fragments.Load() == n; time.Sleep(200 * time.Millisecond) {
		get(t, v.URL()+"/", "")
		if time.Now().After(deadline) {
			t.Fatal("the cache is not renewed once the node is back")
		}
	}
}

// replay is a day of a shop at an edge: visitors by popularity, on popular
// pages, in segments as the demo has them, with tokens that are renewed.
func replay(t *testing.T, requests int, visit func(path, cookie string)) map[string]any {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	segments := []string{"everyone", "everyone", "everyone/low_intent", "everyone/medium_intent", "everyone/medium_intent/mobile_3g", "everyone/high_intent", abandoner}
	const visitors, pages, perToken = 300, 60, 8
	who, where := rand.NewZipf(r, 1.1, 4, visitors-1), rand.NewZipf(r, 1.2, 2, pages-1)
	cookies, used := make([]string, visitors), make([]int, visitors)
	for range requests {
		i := who.Uint64()
		if used[i]%perToken == 0 { // the page has got a new one
			cookies[i] = visitorToken(t, testKeys, segments[i%uint64(len(segments))], time.Duration(60+used[i])*time.Second)
		}
		used[i]++
		visit(fmt.Sprintf("/p/%d", where.Uint64()), cookies[i])
	}
	return map[string]any{"page_views": requests, "visitors": visitors, "pages": pages, "segments": len(segments), "views_per_token": perToken}
}

// TestSavingVarnish reports how many requests the cache keeps from the backend.
// Without it each page view is one for the page, one for the token and one for
// the fragment.
func TestSavingVarnish(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	v := startVarnish(t, b)
	const views = 3000
	settings := replay(t, views, func(path, cookie string) {
		if body, _ := get(t, v.URL()+path, cookie); strings.Count(body, "data-ms-rule=") != 1 {
			t.Fatalf("a page without its fragment: %s", body)
		}
	})
	saving(t, "varnish", 3*views, b.total(), settings)
}
