package browser

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/microseg/microseg/testing/harness/chromium"
)

// briefMS is the brief's own figure for the case: the banner in the page within so long.
const briefMS = 320

// TestCase is the brief's case: a visitor puts a laptop in the cart, compares
// for 90 s and leaves; the banner with a running countdown appears without a
// reload. It measures the time from the deciding event, the page that was gone
// to, to the banner that can be seen, over 32 visits.
func TestCase(t *testing.T) {
	site.seed(t, "everyone/high_intent", abandoner)
	const rounds, together = 8, 4
	var took []float64
	for range rounds {
		var pages []*chromium.Page
		for range together {
			p := site.visit(t)
			site.fillCart(p)
			pages = append(pages, p)
		}
		site.stay(95*time.Second, pages...)
		for _, p := range pages {
			took = append(took, leave(t, p))
			p.Close()
		}
	}
	slices.Sort(took)
	q := func(x float64) float64 { return took[int(x*float64(len(took)-1)+0.5)] }
	out, err := json.Marshal(map[string]any{"visits": len(took), "deciding_event_to_banner_ms": map[string]float64{"p50": q(0.5), "p95": q(0.95), "max": q(1)}, "brief_ms": briefMS})
	check(t, err)
	t.Logf("%s", out)
}

// leave goes to the home page and returns how long the banner took, in ms.
func leave(t *testing.T, p *chromium.Page) float64 {
	t.Helper()
	if n := p.Text(`document.querySelectorAll("[data-ms-slot=banner] .ms-countdown").length`); n != "0" {
		t.Error("there is a banner before the visitor has left")
	}
	p.Front()
	p.Click("header .brand")
	arrive(p, "/")
	waitServed(t, p, abandoner)
	p.Wait(`window.__seen > 0`)
	var ms float64
	p.Eval(`__seen - __told`, &ms)
	if rule := p.Text(`document.querySelector("[data-ms-slot=banner]").dataset.msRule`); rule != "cart_banner" {
		t.Errorf("the banner is %s's", rule)
	}
	before := p.Text(`document.querySelector("[data-ms-slot=banner] .ms-countdown").textContent`)
	site.advance(3*time.Second, 0, p)
	after := p.Text(`document.querySelector("[data-ms-slot=banner] .ms-countdown").textContent`)
	if before == after || after >= before {
		t.Errorf("the countdown stands: %s, then %s", before, after)
	}
	return ms
}

// TestIdle: who does not leave but goes quiet is an abandoner a minute after
// the last event, and sees it in the page that is open.
func TestIdle(t *testing.T) {
	site.seed(t, "everyone/high_intent", abandoner)
	p := site.visit(t)
	site.fillCart(p)
	site.stay(95*time.Second, p)
	for range 30 { // nobody touches anything any more
		site.advance(5*time.Second, 100*time.Millisecond, p)
		if p.Text(`window.__seen > 0`) == "true" {
			break
		}
	}
	p.Wait(`window.__seen > 0`)
	waitServed(t, p, abandoner)
}

// TestTwoDevices: two tabs and two devices of one identified visitor are in
// the same segment, and both are told when it changes.
func TestTwoDevices(t *testing.T) {
	site.seed(t, "everyone/high_intent", abandoner)
	phone, desk := site.visit(t), site.visit(t)
	user := fmt.Sprintf("ann-%d", nowMS())
	for _, p := range []*chromium.Page{phone, desk} {
		site.open1(p, "/")
		p.Eval(fmt.Sprintf(`microseg.identify(%q)`, user), nil)
	}
	tab := desk.Tab()
	tab.Before(pageClock)
	site.open1(tab, "/blog/buying-a-laptop")
	site.fillCart(phone)
	site.stay(95*time.Second, phone, desk, tab)
	phone.Click("header .brand")
	arrive(phone, "/")
	for name, p := range map[string]*chromium.Page{"phone": phone, "desk": desk, "second tab": tab} {
		p.Front()
		waitServed(t, p, abandoner)
		p.Wait(`document.querySelector("[data-ms-slot=banner]").dataset.msRule === "cart_banner"`)
		t.Log(name, "sees the banner")
	}
}

// TestTokenCookie: the page keeps its token where an edge in front of the site
// sees it, and drops it when the visitor logs out.
func TestTokenCookie(t *testing.T) {
	p := site.visit(t)
	site.open1(p, "/")
	p.Wait(`document.cookie.includes("ms_token=v1.")`)
	p.Eval(`microseg.consent({analytics: false})`, nil)
	p.Wait(`!document.cookie.includes("ms_token=v1.")`)
}
