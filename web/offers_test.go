package web_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/testing/harness/chromium"
)

// offered is an answer's offer and its action.
func offered(name, slot, html string, deadline time.Time) (o, a map[string]any) {
	at := deadline.UnixMilli()
	o = map[string]any{"offer": name, "slot": slot, "rule": name + "_rule", "state": "open", "granted": at - 900_000, "deadline": at, "until": at + 86_400_000, "token": "v1." + name + ".t"}
	return o, fill(slot, name+"_rule", html, "offer", name, "deadline", at)
}

const (
	cartOffer  = `<p class="offer">10% off <time data-ms-deadline="1">15:00</time></p>`
	closable   = `<aside class="ms-overlay" role="dialog" aria-label="A better price"><button class="ms-close" data-ms-dismiss aria-label="Close">×</button><h2>A better price</h2><p>5% off today, for what is in your cart, until tonight</p><p>Code <code>CART5</code></p></aside>`
	bannerText = `document.querySelector(".banner").textContent.trim()`
	// frames notes what the banner says in each frame that is painted.
	frames = `window.frames_ = []; (function look() { const b = document.querySelector(".banner"); if (b) frames_.push(b.textContent.trim().slice(0, 7)); requestAnimationFrame(look); })();`
)

// TestOfferStays: an offer was gone on the next page, where another stood, and
// came 121 ms after that page's own content. It is there in the first frame, in
// its slot, whatever the answer says, with one countdown in all tabs; an order ends it.
func TestOfferStays(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.ahead = time.Hour // of the visitor's clock
	offer, action := offered("cart", "banner", cartOffer, time.Now().Add(b.ahead+10*time.Minute))
	b.offers, b.actions = []map[string]any{offer}, []map[string]any{action}
	p.Before(frames)
	p.Goto(b.url + "/")
	p.Wait(`/^(10:00|09:\d\d)$/.test(document.querySelector(".offer time")?.textContent)`)
	b.do(func() { b.actions, b.noPersonal = []map[string]any{fill("banner", "other", "<p>half price</p>")}, true })
	for _, path := range []string{"/cart", "/product/aero-14", "/"} {
		p.Goto(b.url + path)
		p.Wait(`frames_.length > 5`)
		if got := p.Text(`[...new Set(frames_)].join("|")`); got != "10% off" {
			t.Errorf("%s: the frames say %q", path, got)
		}
		if got := p.Text(`document.querySelector(".banner").className`); !strings.Contains(got, "ms-kept") {
			t.Errorf("%s: it fades in again: %s", path, got)
		}
	}
	b.do(func() { b.noPersonal = false })
	p.Eval(`personalizeContent("everyone")`, nil) // an answer that has another for the slot
	tab := p.Tab()
	tab.Goto(b.url + "/cart")
	for name, p := range map[string]*chromium.Page{"the tab": p, "another": tab} {
		if got := p.Text(bannerText); !strings.HasPrefix(got, "10% off 09:") && got != "10% off 10:00" {
			t.Errorf("%s: %q", name, got)
		}
	}
	b.do(func() {
		last := b.asked[len(b.asked)-1]
		if got := fmt.Sprint(last["offers"]); got != "[map[state:open token:v1.cart.t]]" {
			t.Errorf("asked with offers %s", got)
		}
		if age, _ := last["view_ms"].(float64); age <= 0 {
			t.Errorf("asked with view_ms %v", last["view_ms"])
		}
	})
	p.Eval(`microseg.track("Order Completed", {order_id: "1"})`, nil)
	for name, p := range map[string]*chromium.Page{"the tab": p, "another": tab} {
		p.Wait(`!document.querySelector(".offer")`)
		// A late answer of the other tab may have been written since, of which the end is kept apart.
		if got := p.Text(`JSON.parse(localStorage.ms_ended).cart.state`); got != "redeemed" {
			t.Errorf("%s: the offer is %s", name, got)
		}
	}
}

// TestUnknownOffer: what the server knows nothing of is none; a server that
// knows no offers at all takes none away.
func TestUnknownOffer(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	offer, action := offered("cart", "banner", cartOffer, time.Now().Add(10*time.Minute))
	b.offers, b.actions = []map[string]any{offer}, []map[string]any{action}
	p.Goto(b.url + "/")
	p.Wait(`document.querySelector(".offer")`)
	b.do(func() { b.offers, b.actions = nil, nil })
	p.Eval(`personalizeContent("everyone")`, nil)
	if p.Text(`document.querySelector(".offer")`) == "null" {
		t.Error("an older server took the offer away")
	}
	b.do(func() { b.offers = []map[string]any{} })
	p.Eval(`personalizeContent("everyone")`, nil)
	if p.Text(`document.querySelector(".offer") + localStorage.ms_offers`) != "null{}" {
		t.Error("an offer that the server does not know stays")
	}
}

// TestOneSlot: an action of an offer that stands in another slot is not shown.
func TestOneSlot(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	offer, action := offered("cart", "banner", cartOffer, time.Now().Add(10*time.Minute))
	_, second := offered("cart", "hero", cartOffer, time.Now().Add(12*time.Minute))
	b.offers, b.actions = []map[string]any{offer}, []map[string]any{action, second}
	p.Goto(b.url + "/")
	p.Wait(`document.querySelector(".banner .offer")`)
	if n := p.Text(`document.querySelectorAll("time[role=timer]").length`); n != "1" {
		t.Errorf("%s countdowns", n)
	}
}

// TestDismiss: the overlay is closed by its button or Escape, gives the focus
// back, and stays closed on the next page and in the other tab.
func TestDismiss(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"button", "keyboard", "escape elsewhere"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			b, p := newBackend(t), visit(t)
			offer, action := offered("better", "overlay", closable, time.Now().Add(10*time.Minute))
			b.offers, b.actions = []map[string]any{offer}, []map[string]any{action}
			p.Goto(b.url + "/")
			p.Wait(`document.querySelector(".overlay .ms-close")`)
			tab := p.Tab()
			tab.Goto(b.url + "/cart")
			tab.Wait(`document.querySelector(".overlay .ms-close")`)
			p.Front()
			p.Eval(`document.querySelector("header .brand").focus()`, nil)
			switch how {
			case "button":
				p.Click(".overlay .ms-close")
			case "keyboard":
				p.Eval(`document.querySelector(".overlay .ms-close").focus()`, nil)
				p.Press("\r")
			default:
				p.Press("\x1b")
			}
			p.Wait(`!document.querySelector(".ms-overlay") && !document.querySelector(".overlay").dataset.msRule`)
			if got := p.Text(`document.activeElement.className`); got != "brand" {
				t.Errorf("the focus is on %q", got)
			}
			tab.Wait(`!document.querySelector(".ms-overlay")`)
			p.Goto(b.url + "/cart")
			p.Eval(`personalizeContent("everyone")`, nil)
			if got := p.Text(`document.querySelector(".ms-overlay")`); got != "null" {
				t.Error("it is open again on the next page")
			}
			b.do(func() {
				if got := fmt.Sprint(b.asked[len(b.asked)-1]["offers"]); got != "[map[state:dismissed token:v1.better.t]]" {
					t.Errorf("the server is told %s", got)
				}
			})
		})
	}
}

// TestClosedStaysClosed: a tab hears of another's writing late, and wrote what it had
// read before beside its own answer: the offer that was just closed opened again, in
// both. What a tab writes of old does not matter, in whatever order it is heard of.
func TestClosedStaysClosed(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"dismissed", "redeemed"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			b, p := newBackend(t), visit(t)
			offer, action := offered("better", "overlay", closable, time.Now().Add(10*time.Minute))
			offer["edge"] = true
			b.offers, b.actions = []map[string]any{offer}, []map[string]any{action}
			p.Goto(b.url + "/")
			p.Wait(`document.querySelector(".ms-overlay")`)
			tab := p.Tab()
			tab.Goto(b.url + "/cart")
			tab.Wait(`document.querySelector(".ms-overlay")`)
			tab.Eval(`window.old = localStorage.ms_offers`, nil)
			if end == "redeemed" {
				p.Eval(`microseg.redeem()`, nil)
			} else {
				p.Click(".ms-close")
			}
			tab.Wait(`!document.querySelector(".ms-overlay") && localStorage.ms_ended`)
			// A tab that has not heard yet writes what it still holds, which is no change, and nobody hears of
			// it. So the mark behind it is what tells that all before it has been heard.
			p.Eval(`addEventListener("storage", (e) => { window.heard ||= e.key === "mark"; })`, nil)
			tab.Eval(`localStorage.ms_offers = old; localStorage.mark = 1; document.cookie = "ms_offer_overlay=v1.better.t;path=/"`, nil)
			p.Wait(`window.heard`)
			for name, p := range map[string]*chromium.Page{"the tab": p, "another": tab} {
				p.Eval(`personalizeContent("everyone")`, nil)
				if got := p.Text(`document.querySelector(".ms-overlay") + document.cookie.replace(/.*(?=ms_offer)/, "")`); !strings.HasPrefix(got, "null") || strings.Contains(got, "ms_offer") {
					t.Errorf("%s: it is open again: %s", name, got)
				}
			}
			b.do(func() {
				if got := fmt.Sprint(b.asked[len(b.asked)-1]["offers"]); got != "[map[state:"+end+" token:v1.better.t]]" {
					t.Errorf("the server is told %s", got)
				}
			})
		})
	}
}

// TestDismissContent: what is no offer is closed for the tab.
func TestDismissContent(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.actions = []map[string]any{fill("overlay", "note", closable)}
	p.Goto(b.url + "/")
	p.Wait(`document.querySelector(".overlay .ms-close")`)
	p.Click(".overlay .ms-close")
	p.Wait(`!document.querySelector(".ms-overlay")`)
	p.Goto(b.url + "/cart")
	p.Eval(`personalizeContent("everyone")`, nil)
	if got := p.Text(`document.querySelector(".ms-overlay")`); got != "null" {
		t.Error("it is open again")
	}
}

// TestWithoutStorage: where storage and cookies are refused, offers live as long
// as their page, and nothing fails.
func TestWithoutStorage(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Before(`for (const area of ["localStorage", "sessionStorage"]) Object.defineProperty(window, area, { get() { throw new DOMException("refused", "SecurityError"); } });
		Object.defineProperty(Document.prototype, "cookie", { get() { throw new DOMException("refused", "SecurityError"); }, set() { throw new DOMException("refused", "SecurityError"); } });`)
	offer, action := offered("cart", "banner", cartOffer, time.Now().Add(10*time.Minute))
	b.offers, b.actions = []map[string]any{offer}, []map[string]any{action}
	p.Goto(b.url + "/blog/buying-a-laptop")
	p.Wait(`document.querySelector(".banner .offer")`)
	b.do(func() { b.actions = nil })
	p.Eval(`personalizeContent("everyone")`, nil)
	if p.Text(`document.querySelector(".banner .offer")`) == "null" {
		t.Error("the offer is gone from its page")
	}
}

// TestEdgeCookie: an offer in a slot that edges fill is where an edge sees it,
// until it is over or the visitor has gone.
func TestEdgeCookie(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	offer, action := offered("cart", "hero", cartOffer, time.Now().Add(10*time.Minute))
	offer["edge"] = true
	b.offers, b.actions = []map[string]any{offer}, []map[string]any{action}
	p.Goto(b.url + "/")
	p.Wait(`document.cookie.includes("ms_offer_hero=v1.cart.t")`)
	p.Eval(`microseg.redeem()`, nil)
	p.Wait(`!document.cookie.includes("ms_offer")`)
	p.Eval(`microseg.reset()`, nil)
	if got := p.Text(`localStorage.ms_skew + " " + document.cookie.includes("ms_offer")`); got != "undefined false" {
		t.Errorf("a log-out leaves %s", got)
	}
}

// TestPhoneOverlay: on a phone nothing covers the page's main action, wherever
// it is scrolled to, and what makes room for it stays in the first screen: it went to the
// end of the page, where nobody saw it.
func TestPhoneOverlay(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Phone()
	offer, action := offered("better", "overlay", shipped(t, "analyzer_overlay"), time.Now().Add(10*time.Minute))
	top, banner := offered("cart", "banner", shipped(t, "cart_banner"), time.Now().Add(12*time.Minute))
	b.offers, b.actions = []map[string]any{offer, top}, []map[string]any{action, banner}
	const covered = `[...document.querySelectorAll("[data-ms-main],[data-ms-element=add_to_cart]")].filter((e) => {
		const r = e.getBoundingClientRect(), x = r.left + r.width / 2, y = r.top + r.height / 2;
		return r.width && y > 0 && y < innerHeight && document.elementFromPoint(x, y)?.closest(".overlay");
	}).length`
	// reachable: all of it is seen, and its button is on top.
	const reachable = `(() => { const r = document.querySelector(".ms-overlay").getBoundingClientRect(), c = document.querySelector(".overlay .ms-close"), q = c.getBoundingClientRect();
		return r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth && c === document.elementFromPoint(q.left + q.width / 2, q.top + q.height / 2); })()`
	p.Goto(b.url + "/product/aero-14")
	p.Wait(`document.querySelector(".ms-overlay") && document.querySelector("#buy button")`)
	p.Click("#buy .primary") // so that the cart has something
	type at struct {
		width, height int64
		path          string
	}
	var places []at
	for _, path := range []string{"/product/aero-14", "/category/laptops", "/compare?ids=aero-14,forge-15", "/cart", "/checkout/", "/"} {
		places = append(places, at{390, 844, path}, at{360, 640, path})
	}
	for _, path := range []string{"/product/aero-14", "/cart", "/checkout/"} { // a small one, and one that lies
		places = append(places, at{320, 568, path}, at{844, 390, path})
	}
	for _, at := range places {
		path := at.path
		p.Size(at.width, at.height)
		p.Goto(b.url + path)
		p.Wait(`document.querySelector(".ms-overlay") && document.readyState === "complete"`)
		p.Eval(`Promise.all(document.getAnimations().filter((a) => a.effect.getTiming().iterations < Infinity).map((a) => a.finished.catch(() => 0)))`, nil)
		if p.Text(reachable) != "true" {
			t.Errorf("%+v: the overlay is not in the first screen", at)
		}
		shot(t, p, fmt.Sprintf("phone-%d%s", at.width, strings.NewReplacer("/", "-", "?", "-", ",", "-", "=", "-").Replace(path)))
		var height float64
		p.Eval(`document.documentElement.scrollHeight`, &height)
		for y := 0.; y < height; y += 97 {
			p.Eval(fmt.Sprintf(`new Promise((r) => { scrollTo(0, %v); requestAnimationFrame(() => requestAnimationFrame(r)); })`, y), nil)
			if n := p.Text(covered); n != "0" {
				t.Errorf("%+v, scrolled to %v: %s main actions are covered", at, y, n)
				break
			}
		}
		if got := p.Text(`(({ scrollHeight, clientHeight }) => scrollHeight <= clientHeight)(document.querySelector(".banner"))`); got != "true" {
			t.Errorf("%+v: the banner has to be scrolled", at)
		}
		if got := p.Text(`document.documentElement.scrollWidth <= innerWidth`); got != "true" {
			t.Errorf("%s: the page is wider than the phone of %d", path, at.width)
		}
	}
}

// TestOverlayOnDesktop: the shipped overlay and banner do not overflow, and
// their close buttons are large enough for a finger.
func TestOverlayOnDesktop(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	offer, action := offered("better", "overlay", shipped(t, "analyzer_overlay"), time.Now().Add(10*time.Minute))
	top, banner := offered("cart", "banner", shipped(t, "cart_banner"), time.Now().Add(12*time.Minute))
	b.offers, b.actions = []map[string]any{offer, top}, []map[string]any{action, banner}
	p.Goto(b.url + "/compare?ids=aero-14,forge-15")
	p.Wait(`document.querySelectorAll(".ms-close").length === 2`)
	p.Eval(`new Promise((r) => setTimeout(r, 400))`, nil)
	shot(t, p, "desktop")
	if got := p.Text(`[...document.querySelectorAll(".ms-close")].map((e) => e.getBoundingClientRect()).every((r) => r.width >= 44 && r.height >= 44)`); got != "true" {
		t.Error("the close buttons are too small")
	}
	if got := p.Text(`document.querySelector(".banner").scrollHeight <= document.querySelector(".banner").clientHeight`); got != "true" {
		t.Error("the banner overflows")
	}
	p.Click(".banner .ms-close")
	p.Wait(`document.querySelector(".banner").textContent.startsWith("Free delivery") && document.querySelector(".ms-overlay")`)
}

// TestNewPageInTheDocument: when an application changes its URL, what was shown
// on the page before goes at once, not with the answer; an offer stays.
func TestNewPageInTheDocument(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	offer, action := offered("cart", "banner", cartOffer, time.Now().Add(10*time.Minute))
	b.offers, b.actions = []map[string]any{offer}, []map[string]any{action, fill("hero", "h", "<h2>Of this page</h2>")}
	p.Goto(b.url + "/")
	p.Wait(`document.querySelector(".hero h2")?.textContent === "Of this page" && document.querySelector(".offer")`)
	b.do(func() { b.noPersonal = true })
	p.Eval(`history.pushState(null, "", "/cart")`, nil)
	p.Wait(`!document.querySelector(".hero").dataset.msRule && document.querySelector(".hero h1")`)
	if p.Text(`document.querySelector(".offer")`) == "null" {
		t.Error("the offer is gone")
	}
}

// shipped is what a rule of the shipped configuration shows.
func shipped(t *testing.T, name string) string {
	t.Helper()
	c := config.Demo()
	templates, err := c.RuleTemplates()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.RuleSpecs() {
		for _, a := range r.Actions {
			if r.Name != name {
				continue
			}
			html, err := templates.Render(a.Template, rule.TemplateData{Data: a.Data, DeadlineMS: 1, CountdownS: int64(a.Deadline / time.Second), Product: "Aero 14", Category: "Laptops"})
			if err != nil {
				t.Fatal(err)
			}
			return html
		}
	}
	t.Fatalf("there is no rule %s", name)
	return ""
}

// shot keeps a picture where MICROSEG_SHOTS says, for people to look at.
func shot(t *testing.T, p *chromium.Page, name string) {
	t.Helper()
	if dir := os.Getenv("MICROSEG_SHOTS"); dir != "" {
		if err := os.WriteFile(dir+"/"+name+".png", p.Screenshot(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
