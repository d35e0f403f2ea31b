package web_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestOutage: while the collector refuses, events wait, in their tab's storage
// if need be, and arrive later under the messageIds that they had.
func TestOutage(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.refuse = []string{"1", "1"}
	p.Goto(b.url + "/")
	b.until("a refusal", func() bool { return b.requests >= 1 })
	p.Eval(`microseg.track("Kept", { n: 1 })`, nil)
	var queue []string
	p.Eval(`JSON.parse(sessionStorage.getItem("ms_queue"))`, &queue)
	if len(queue) != 2 {
		t.Errorf("%d events wait, want the page call and the one that came after: %q", len(queue), queue)
	}
	if n := len(b.names()); n != 0 {
		t.Errorf("%d events arrived", n)
	}
	kept := b.wait("Kept", 1)[0]
	if b.requests < 3 {
		t.Errorf("%d requests, want two refused ones and one more", b.requests)
	}
	if raw := string(kept.Raw); raw != queue[1] {
		t.Errorf("arrived\n%s\nwaited\n%s", raw, queue[1])
	}
	p.Wait(`sessionStorage.getItem("ms_queue") === null`)
}

// TestLeavingInOutage: what could not be sent is sent from the tab's next page.
func TestLeavingInOutage(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.refuse = []string{"3600", "3600", "3600"} // the first attempt, and what the browser tries on leaving
	p.Goto(b.url + "/")
	b.until("a refusal", func() bool { return b.requests >= 1 })
	p.Eval(`microseg.track("Kept")`, nil)
	first := p.Text("sessionStorage.getItem('ms_queue')")
	p.Eval(`location.href = "/cart"`, nil)
	b.until("a beacon", func() bool { return b.requests >= 2 })
	b.do(func() { b.refuse = nil })
	p.Goto(b.url + "/")
	kept := b.wait("Kept", 1)[0]
	if id := kept.MessageID; id == "" || !strings.Contains(first, id) {
		t.Errorf("messageId %q was not in the queue %s", id, first)
	}
}

// TestBeacon: what was measured and not told is told by sendBeacon when the
// page is left.
func TestBeacon(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/")
	b.wait("page", 1)
	p.Hover(".hero .button")
	time.Sleep(600 * time.Millisecond)
	p.Goto("about:blank")
	if ping := b.wait("Page Pinged", 1)[0]; ping.mode != "no-cors" {
		t.Errorf("by a request of mode %q, want sendBeacon's no-cors", ping.mode)
	}
}

// TestBatches: many events at once go in batches that browsers let outlive the
// page, in order; one that the collector would refuse is dropped.
func TestBatches(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/")
	b.wait("page", 1)
	p.Eval(`(() => { for (let i = 0; i < 150; i++) microseg.track("Many", { i, text: "ä".repeat(500) });
		microseg.track("Huge", { text: "x".repeat(33_000) }); microseg.track("Last") })()`, nil)
	b.wait("Last", 1)
	for i, a := range b.named("Many") {
		if a.number("i") != float64(i) {
			t.Fatalf("event %d is number %v", i, a.number("i"))
		}
	}
	b.do(func() {
		if n, huge := len(b.named("Many")), len(b.named("Huge")); n != 150 || huge != 0 {
			t.Errorf("%d of 150 arrived, and %d that are too large", n, huge)
		}
		// 150 × 1.7 KB in at most 60 KB.
		if b.requests < 5 || b.requests > 12 {
			t.Errorf("%d requests, want about one for 60 KB", b.requests)
		}
	})
}

// TestConsent: withdrawn consent stops collection, forgets the ids and the
// queue, takes away what was personal, also in the visitor's other tabs, and
// is told in the context while it is given.
func TestConsent(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.actions = []map[string]any{{"slot": "banner", "rule": "r", "html": "<p>for you</p>"}}
	p.Goto(b.url + "/")
	page := b.wait("page", 1)[0]
	if c, ok := page.Context["consent"].(map[string]any); !ok || fmt.Sprint(c["categoryPreferences"]) != "map[analytics:true]" {
		t.Errorf("consent %v", page.Context["consent"])
	}
	p.Wait(`document.querySelector(".banner").textContent === "for you"`)
	tab := p.Tab()
	tab.Goto(b.url + "/cart")
	b.wait("page", 2)
	b.wait("Cart Viewed", 1) // on its way before the consent is withdrawn, it may arrive after
	p.Eval(`microseg.track("Queued"); microseg.consent({ analytics: false }); microseg.track("Not collected")`, nil)
	const nothing = `Object.keys(localStorage).filter((k) => k.startsWith("ms_")).join() === "ms_consent" && !sessionStorage.getItem("ms_queue") && microseg.anonymousId() === null`
	p.Wait(nothing)
	p.Wait(`document.querySelector(".banner").textContent.startsWith("Free delivery")`)
	tab.Wait(nothing)
	b.until("the streams to end", func() bool { return len(b.streams) == 0 })
	var segment any
	if p.Eval(`getUserSegment()`, &segment); segment != nil {
		t.Errorf("segment %v without consent", segment)
	}
	before := len(b.names())
	tab.Click("header .brand")
	p.Click("header .brand")
	time.Sleep(1500 * time.Millisecond)
	if got := b.names()[before:]; len(got) > 0 {
		t.Errorf("arrived without consent: %q", got)
	}
	p.Eval(`microseg.consent({ analytics: true })`, nil)
	again := b.wait("page", 3)[2]
	if again.AnonymousID == page.AnonymousID {
		t.Error("after new consent the visitor has the old id")
	}
}

// TestPrivacyControl: with Global Privacy Control nothing is collected, asked
// for or stored.
func TestPrivacyControl(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Before(`Object.defineProperty(navigator, "globalPrivacyControl", { value: true })`)
	p.Goto(b.url + "/product/aero-14")
	p.Click("#buy .primary")
	p.Eval(`microseg.identify("ada"); microseg.page()`, nil)
	p.Goto(b.url + "/cart")
	time.Sleep(1500 * time.Millisecond)
	if got := p.Text(`Object.keys(localStorage).filter((k) => k.startsWith("ms_")).length + Object.keys(sessionStorage).length`); got != "0" {
		t.Errorf("%s keys are stored", got)
	}
	b.do(func() {
		if b.requests > 0 || len(b.asked) > 0 || len(b.streams) > 0 {
			t.Errorf("%d batches, %d personalize requests, %d streams", b.requests, len(b.asked), len(b.streams))
		}
	})
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("problems %q", got)
	}
}

// TestOptIn: a tag that requires consent collects nothing before it is given.
func TestOptIn(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Before(`new MutationObserver(() => { const s = document.querySelector("script[src='/microseg.js']"); if (s) s.dataset.consent = "required" }).observe(document, { childList: true, subtree: true })`)
	p.Goto(b.url + "/")
	time.Sleep(500 * time.Millisecond)
	if got := b.names(); len(got) > 0 {
		t.Errorf("arrived before consent: %q", got)
	}
	p.Eval(`microseg.consent({ analytics: true, ads: false })`, nil)
	page := b.wait("page", 1)[0]
	if c, ok := page.Context["consent"].(map[string]any); !ok || fmt.Sprint(c["categoryPreferences"]) != "map[ads:false analytics:true]" {
		t.Errorf("consent %v", page.Context["consent"])
	}
}

// TestNoStorage: where the browser refuses storage, a visit works as long as
// its page.
func TestNoStorage(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Before(`for (const area of ["localStorage", "sessionStorage"]) Object.defineProperty(window, area, { get() { throw new DOMException("no", "SecurityError") } })`)
	p.Goto(b.url + "/blog/buying-a-laptop")
	page := b.wait("page", 1)[0]
	p.Eval(`microseg.track("More")`, nil)
	if more := b.wait("More", 1)[0]; more.AnonymousID != page.AnonymousID {
		t.Errorf("devices %q and %q of one page", page.AnonymousID, more.AnonymousID)
	}
}
