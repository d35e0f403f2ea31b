package up

import (
	"fmt"
	"testing"
	"time"

	"github.com/microseg/microseg/testing/harness/chromium"
)

// watch notes when the page told of itself, and when a banner could be seen.
const watch = `(() => {
  const send = fetch.bind(window);
  window.fetch = (url, o) => {
    if (String(url).includes("/v1/batch")) for (const e of JSON.parse(o.body).batch) if (e.type === "page") window.__told = Date.parse(e.timestamp);
    return send(url, o);
  };
  const seen = () => {
    if (window.__seen || !document.querySelector("[data-ms-slot=banner].ms-filled [data-ms-deadline]")) return;
    const note = () => { window.__seen = window.__seen || Date.now(); };
    requestAnimationFrame(note);
    setTimeout(note, 250); // a tab that is behind another is painted by nobody
  };
  document.addEventListener("DOMContentLoaded", () => new MutationObserver(seen).observe(document, { subtree: true, childList: true, attributes: true }));
})();`

// visitor is somebody new, in a context of their own.
type visitor struct {
	*chromium.Page
	t   *testing.T
	url string
}

func visit(t *testing.T, b *chromium.Browser, url string) *visitor {
	t.Helper()
	p := b.Page(t)
	p.Before(watch)
	return &visitor{p, t, url}
}

func (v *visitor) open(path string) { v.Goto(v.url + path) }

// arrive waits until a page that was gone to is there with its script.
func (v *visitor) arrive(path string) {
	v.t.Helper()
	v.Wait(fmt.Sprintf(`location.pathname === %q && document.readyState === "complete" && Boolean(window.getUserSegment)`, path))
}

// stay is somebody at the page: the pointer moves a little, as it does.
func (v *visitor) stay(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(3 * time.Second) {
		v.Eval(`dispatchEvent(new PointerEvent("pointermove", {bubbles: true}))`, nil)
	}
}

// fillCart puts a laptop into the cart and opens the comparison.
func (v *visitor) fillCart() {
	v.t.Helper()
	v.open("/product/aero-14")
	v.Click("#buy .primary")
	v.Click("#buy .actions button:last-child, #buy button:last-child")
	v.Wait(`document.querySelector("#cart-count").textContent === "1"`)
	v.Click("#compare-link")
	v.Wait(`document.querySelectorAll("tr[data-ms-element=features]").length > 0`)
}

// slot waits until a rule fills a slot.
func (v *visitor) slot(slot, rule string) {
	v.t.Helper()
	end := time.Now().Add(30 * time.Second)
	for {
		got := v.Text(fmt.Sprintf(`document.querySelector("[data-ms-slot=%s]").dataset.msRule`, slot))
		if got == rule {
			return
		}
		if time.Now().After(end) {
			v.t.Fatalf("%s is %s's, want %s; %s", slot, got, rule, v.why())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// why is the node's explanation of the visitor.
func (v *visitor) why() (text string) {
	v.Eval(`fetch("/api/segment/explain?anonymousId=" + microseg.anonymousId()).then((r) => r.text())`, &text)
	return text
}

// fine fails where the browser has complained.
func (v *visitor) fine() {
	v.t.Helper()
	if got := v.Problems(); len(got) > 0 {
		v.t.Errorf("the browser complains: %q", got)
	}
}
