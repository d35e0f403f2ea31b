package edge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/token"
)

// heroOffer makes an offer of the hero, a slot that edges fill.
func heroOffer(c *config.Config) {
	for i := range c.Rules {
		if r := &c.Rules[i]; r.Name == "cart_hero" {
			r.Cap, r.Actions[0].Deadline = 24*time.Hour, 15*time.Minute
		}
	}
}

// granted is an abandoner's offer in the hero, as the page keeps it in a cookie.
func (b *backend) granted(t *testing.T, visitor string) string {
	t.Helper()
	answer, err := http.Post(b.node.URL+"/api/personalize", "", strings.NewReader(fmt.Sprintf(`{"token":%q,"event":{"page":"/"}}`, visitor)))
	check(t, err)
	defer answer.Body.Close()
	var got struct {
		Offers []struct {
			Slot, Token string
			Edge        bool
		}
	}
	check(t, json.NewDecoder(answer.Body).Decode(&got))
	for _, o := range got.Offers {
		if o.Slot == "hero" && o.Edge {
			return o.Token
		}
	}
	t.Fatalf("no offer in the hero: %+v", got)
	return ""
}

// keepsOffers: who keeps an offer in a slot that an edge fills sees it there,
// before any script runs; nobody else does, and no shared cache has it.
func keepsOffers(t *testing.T, b *backend, at, log func() string) {
	t.Helper()
	ann := visitorToken(t, testKeys, abandoner, time.Minute)
	offer := b.granted(t, ann)
	keys, err := token.ParseKeys(testKeys)
	check(t, err)
	now := time.Now()
	bob := keys.Sign(token.Claims{Audience: token.Segment, Site: site, Subject: token.Subject("d:2"), Path: abandoner, Issued: now.Unix(), Expires: now.Unix() + 60})
	for range 2 { // once with nothing in the caches
		for _, c := range []struct{ what, cookie, rule string }{
			{"who keeps it", ann + "; ms_offer_hero=" + offer, cartHero},
			{"who has none", ann, highHero},
			{"another visitor", bob + "; ms_offer_hero=" + offer, highHero},
			{"what is no offer", ann + "; ms_offer_hero=" + ann, highHero},
			{"an offer in another slot", ann + "; ms_offer_banner=" + offer, highHero},
			{"nobody", "x; ms_offer_hero=" + offer, welcome},
		} {
			body, answer := get(t, at(), c.cookie)
			if !strings.Contains(body, c.rule) || strings.Count(body, "data-ms-rule=") != 1 || (c.rule == cartHero) != strings.Contains(body, "data-ms-deadline") {
				t.Errorf("%s: %s\n%s", c.what, body, log())
			}
			if cc := answer.Header.Get("Cache-Control"); cc != "private, no-store" {
				t.Errorf("%s: Cache-Control %q", c.what, cc)
			}
		}
		time.Sleep(300 * time.Millisecond)
	}
	b.mu.Lock()
	for _, r := range b.seen {
		if r.Header.Get("X-Microseg-Offer") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("a shared fragment was asked for with %v", r.Header)
		}
	}
	b.mu.Unlock()
}

func TestVarnishOffers(t *testing.T) {
	t.Parallel()
	b := newBackend(t, heroOffer)
	v := startVarnish(t, b)
	keepsOffers(t, b, func() string { return v.URL() + "/" }, v.Log)
	if body, answer := get(t, v.URL()+"/edge/offer/hero", ""); answer.StatusCode != http.StatusNotFound {
		t.Errorf("the world may ask for offers: %d %s", answer.StatusCode, body)
	}
	// While the node is down there is what the segment sees.
	ann := visitorToken(t, testKeys, abandoner, time.Minute)
	kept := ann + "; ms_offer_hero=" + b.granted(t, ann)
	get(t, v.URL()+"/", ann)
	b.down.Store(true)
	if body, answer := get(t, v.URL()+"/", kept); answer.StatusCode != 200 || !strings.Contains(body, highHero) {
		t.Errorf("with the node down: %d %s\n%s", answer.StatusCode, body, v.Log())
	}
}

func TestWorkerOffers(t *testing.T) {
	t.Parallel()
	b := newBackend(t, heroOffer)
	s := startWorker(t, b)
	keepsOffers(t, b, func() string { return s.URL() + "/plain" }, s.Log)
	if status := raw(t, s.URL(), "/edge/offer/hero", "x=1"); status != http.StatusNotFound {
		t.Errorf("the world may ask for offers: %d", status)
	}
}
