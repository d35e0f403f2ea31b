package edge

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// evil is what an attacker wants to see in others' pages.
const evil = "evil.example"

// hostile are headers with which a site may be made to say something else than its URL
// tells: those that are known for it, those that browsers send, and any other.
var hostile = []http.Header{
	{"X-Forwarded-Proto": {evil}}, {"X-Forwarded-Proto": {"https, " + evil}}, {"X-Forwarded-Host": {evil}}, {"X-Forwarded-Server": {evil}},
	{"X-Forwarded-Port": {evil}}, {"X-Forwarded-Prefix": {evil}}, {"X-Forwarded-Scheme": {evil}}, {"X-Forwarded-Ssl": {evil}}, {"X-Forwarded-For": {evil}},
	{"X-Forwarded-Anything": {evil}}, {"Forwarded": {"host=" + evil}}, {"X-Host": {evil}}, {"X-Http-Host-Override": {evil}},
	{"X-Original-Url": {"/" + evil}}, {"X-Original-Host": {evil}}, {"X-Rewrite-Url": {"/" + evil}}, {"X-Http-Method-Override": {evil}},
	{"X-Real-Ip": {evil}}, {"True-Client-Ip": {evil}}, {"Cf-Connecting-Ip": {evil}}, {"X-Wap-Profile": {evil}}, {"Front-End-Https": {evil}},
	{"Accept-Language": {evil}}, {"Accept-Language": {"de-DE," + evil}}, {"Accept-Language": {"xx-evil.example"}}, {"Accept": {evil}}, {"Accept": {"text/html," + evil}},
	{"Accept-Charset": {evil}}, {"Accept-Encoding": {evil}}, {"User-Agent": {evil}}, {"User-Agent": {"Mobile " + evil}}, {"Referer": {"https://" + evil}},
	{"Origin": {"https://" + evil}}, {"Cookie": {"ms_token=" + evil}}, {"Cookie": {"_ga=" + evil}}, {"Cookie": {"ajs_user_id=" + evil + "; ms_offer_hero="}},
	{"From": {evil}}, {"Via": {evil}}, {"Warning": {evil}}, {"Dnt": {evil}}, {"Save-Data": {evil}}, {"X-Requested-With": {evil}}, {"X-Varnish": {evil}},
	{"Sec-Ch-Ua": {evil}}, {"Sec-Fetch-Site": {evil}}, {"X-Microseg-Was": {evil}}, {"X-Microseg-Evil": {evil}}, {"X-Microseg-Segment": {evil}},
	{"Surrogate-Capability": {evil}}, {"X-Whatever": {evil, evil}}, {"If-None-Match": {evil}}, {"If-Modified-Since": {evil}}, {"Range": {"bytes=0-1," + evil}},
	{"X-Forwarded-Proto": {"https"}, "X-Nonce": {evil}}, {"X-Evil-Example": {"1"}},
}

// TestNoHeaderIsKept: `X-Forwarded-Proto: evil` stood in the page of the next visitor, and
// so did User-Agent at the worker. No header of one visitor's shows in what another one
// gets, with a site that prints all that it is told.
func TestNoHeaderIsKept(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	for name, url := range map[string]string{"varnish": startVarnish(t, b).URL(), "worker": startWorker(t, b).URL()} {
		for i, h := range hostile {
			page := fmt.Sprintf("%s/echo/%s/%d", url, name, i)
			for range 2 {
				get(t, page, "", func(r *http.Request) {
					for k, v := range h {
						r.Header[k] = v
					}
				})
			}
			if body, _ := get(t, page, ""); strings.Contains(strings.ToLower(body), "evil") || strings.Contains(body, "bytes=") {
				t.Errorf("%s: after %v the next visitor sees %s", name, h, body)
			}
		}
		// Another Host is another page, or is told to nobody.
		page := url + "/echo/host/" + name
		get(t, page, "", func(r *http.Request) { r.Host = evil })
		if body, _ := get(t, page, ""); strings.Contains(body, "evil") {
			t.Errorf("%s: after another Host the next visitor sees %s", name, body)
		}
	}
}

// TestFormsAreKeptApart: what is left of a visitor's headers is in the key, so that nobody
// gets a page in another one's language, or for another form of device, or scheme.
func TestFormsAreKeptApart(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	iphone := "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, url := range map[string]string{"varnish": startVarnish(t, b).URL(), "worker": startWorker(t, b).URL()} {
		page := url + "/echo/forms/" + name
		get(t, page, "")
		de, _ := get(t, page, "", with("Accept-Language", "de-DE,de;q=0.9"))
		phone, _ := get(t, page, "", with("User-Agent", iphone))
		plain, _ := get(t, page, "")
		if !strings.Contains(de, "de-de") || !strings.Contains(phone, "Mobile") || strings.Contains(plain, "de-de") || strings.Contains(plain, "Mobile") {
			t.Errorf("%s: the site is told %s, %s and %s", name, de, phone, plain)
		}
		time.Sleep(300 * time.Millisecond) // the worker's cache is written behind the answer
		before := b.pages.Load()
		get(t, page, "", with("Accept-Language", "de-DE,en;q=0.1"))
		get(t, page, "", with("User-Agent", iphone+" Other/1"))
		if n := b.pages.Load(); n != before {
			t.Errorf("%s: %d requests for pages that are kept", name, n-before)
		}
	}
	secure, _ := get(t, startVarnish(t, b).URL()+"/echo/secure", "", with("X-Forwarded-Proto", "HTTPS"))
	if !strings.Contains(secure, "[https]") {
		t.Errorf("a visitor behind TLS: %s", secure)
	}
}

// TestSiteCookiesStay: cookies of the site that merely begin like those of scripts were
// taken away, so that a basket in `ms_cart` was empty on every page, and one visitor's page
// was kept for all.
func TestSiteCookiesStay(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	for name, url := range map[string]string{"varnish": startVarnish(t, b).URL(), "worker": startWorker(t, b).URL()} {
		for i, c := range []string{"ms_cart=7", "ms_tokens=7", "ms_offer_seen=7", "ms_offer=7", "ajs_theme=7", "_gallery=7", "_ga_consent=7", "_gat_x=7", "_fbpx=7", "_gide=7",
			"ms_token_of_shop=7", "xms_token=7"} {
			page := fmt.Sprintf("%s/echo/%s/cookie/%d", url, name, i)
			for range 2 {
				if body, _ := get(t, page, "", func(r *http.Request) { r.Header.Set("Cookie", "_ga=1; "+c+"; ms_token=x") }); !strings.Contains(body, c) {
					t.Errorf("%s: the site does not get %s: %s", name, c, body)
				}
			}
			if body, _ := get(t, page, ""); strings.Contains(body, c) {
				t.Errorf("%s: another visitor sees the page of who has %s", name, c)
			}
		}
		before := b.pages.Load()
		page := url + "/echo/scripts/" + name
		for _, c := range []string{"", "_ga=GA1.1.2", "_ga_1A2B3C4D5E=GS2.1; _gid=1; _fbp=fb.1", "ajs_anonymous_id=1; ajs_user_id=u; ajs_group_id=g; ms_token=x;ms_offer_hero="} {
			get(t, page, "", func(r *http.Request) {
				if c != "" {
					r.Header.Set("Cookie", c)
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		if n := b.pages.Load() - before; n != 1 {
			t.Errorf("%s: %d requests for one page, by visitors with cookies of scripts alone", name, n)
		}
	}
}
