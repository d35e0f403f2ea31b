package browser

import (
	"fmt"
	"testing"
	"time"

	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/testing/harness/chromium"
)

// pageClock moves a page's clock with that of the servers, timers included, and
// notes when the page told of itself and when a banner could be seen.
const pageClock = `(() => {
  const now = Date.now.bind(Date), wait = setTimeout.bind(window), timers = new Map();
  const x = new XMLHttpRequest();
  x.open("GET", "/test/ahead", false);
  x.send();
  let ahead = +x.responseText, last = 1e6;
  Date.now = () => now() + ahead;
  const fire = () => {
    for (const [id, [at, fn, args]] of [...timers]) if (at <= Date.now() + 1 && timers.delete(id)) fn(...args);
  };
  window.setTimeout = (fn, ms = 0, ...args) => {
    timers.set(++last, [Date.now() + ms, fn, args]);
    wait(fire, ms);
    return last;
  };
  window.clearTimeout = (id) => { timers.delete(id); };
  window.__advance = (ms) => { ahead += ms; fire(); };
  const send = fetch.bind(window);
  window.fetch = (url, o) => {
    if (String(url).includes("/v1/batch")) for (const e of JSON.parse(o.body).batch) if (e.type === "page") window.__told = Date.parse(e.timestamp);
    return send(url, o);
  };
  const seen = () => {
    if (window.__seen || !document.querySelector("[data-ms-slot=banner].ms-filled [data-ms-deadline]")) return;
    const note = () => { window.__seen = window.__seen || Date.now(); };
    requestAnimationFrame(note);
    wait(note, 250); // a tab that is behind another is painted by nobody
  };
  document.addEventListener("DOMContentLoaded", () => new MutationObserver(seen).observe(document, { subtree: true, childList: true, attributes: true }));
})();`

// visit opens a page of a new visitor, whose clock is the servers'.
func (s *shop) visit(t *testing.T) *chromium.Page {
	t.Helper()
	p := s.browser.Page(t)
	p.Before(pageClock)
	return p
}

// stay lets event time pass on the pages while somebody is there: a pointer
// that moves a little, as it does, and the page's own heartbeats.
func (s *shop) stay(d time.Duration, pages ...*chromium.Page) {
	const step = 5 * time.Second
	for i := 0; d > 0; i++ {
		for _, p := range pages {
			p.Eval(fmt.Sprintf(`dispatchEvent(new PointerEvent("pointermove", {clientX: %d, bubbles: true}))`, i), nil)
		}
		s.advance(min(step, d), 20*time.Millisecond, pages...)
		d -= step
	}
}

func (s *shop) open1(p *chromium.Page, path string) { p.Goto(s.url + path) }

// fillCart puts a laptop into the cart and opens the comparison.
func (s *shop) fillCart(p *chromium.Page) { s.fillCartAt(p, s.url) }

// fillCartAt does so at a node of the site.
func (s *shop) fillCartAt(p *chromium.Page, url string) {
	p.Goto(url + "/product/aero-14")
	p.Click("#buy .primary")
	p.Click("#buy .actions button:last-child, #buy button:last-child")
	p.Wait(`document.querySelector("#cart-count").textContent === "1"`)
	s.advance(2*time.Second, 0, p)
	p.Click("#compare-link")
	p.Wait(`document.querySelectorAll("tr[data-ms-element=features]").length > 0`)
}

// arrive waits until a page that was gone to is there with its script.
func arrive(p *chromium.Page, path string) {
	p.Wait(fmt.Sprintf(`location.pathname === %q && document.readyState === "complete" && Boolean(window.getUserSegment)`, path))
}

// served is what the node says of the page's visitor.
func served(p *chromium.Page) (path string) {
	p.Eval(`getUserSegment().then((a) => (a ? a.served : ""))`, &path)
	return path
}

const (
	abandoner = "everyone/high_intent/cart_abandoner"
	analyzer  = "everyone/high_intent/price_sensitive_analyzer"
)

// waitServed waits until the visitor is served a segment.
func waitServed(t *testing.T, p *chromium.Page, want string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for served(p) != want {
		if time.Now().After(deadline) {
			var why string
			p.Eval(`fetch("/api/segment/explain?anonymousId=" + localStorage.getItem("ms_anonymous_id")).then((r) => r.text())`, &why)
			t.Fatalf("served %s, want %s; explained: %s", served(p), want, why)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func nowMS() int64 { return clock.NowMS() }
