package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestOtherOrigin: a site loads the script from another origin, under no
// policy of ours, and the endpoint that its tag names gets and answers
// everything, without a preflight.
func TestOtherOrigin(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.actions = []map[string]any{fill("top", "r", "<p>for you</p>")}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(`<!doctype html><title>Site</title><link rel="icon" href="data:,"><script src="` + b.url + `/microseg.js" data-write-key="site" data-endpoint="` + b.url + `/" defer></script>
			<div data-ms-slot="top">ours</div><form id="f"><input name="q"></form>`))
	}))
	defer site.Close()
	p.Goto(site.URL + "/product/1")
	if page := b.wait("page", 1)[0]; page.writeKey != "site" || page.Properties["url"] != site.URL+"/product/1" {
		t.Errorf("write key %q, page %v", page.writeKey, page.Properties)
	}
	p.Wait(`document.querySelector("[data-ms-slot]").textContent === "for you"`)
	if got := p.Text(`Object.keys(window).filter((k) => /microseg|getUserSegment|personalizeContent/.test(k)).sort()`); got != "getUserSegment,microseg,personalizeContent" {
		t.Errorf("globals %s", got)
	}
	b.do(func() {
		if b.preflights > 0 {
			t.Errorf("%d preflights", b.preflights)
		}
	})
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("problems %q", got)
	}
}

// TestStreamRefused: a stream that the server refuses is asked for again.
func TestStreamRefused(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.noStream = true
	b.actions = []map[string]any{fill("banner", "r", "<p>for you</p>")}
	p.Goto(b.url + "/")
	b.until("a refusal", func() bool { return b.refused > 0 })
	b.do(func() { b.noStream = false })
	p.Wait(`document.querySelector(".banner").textContent === "for you"`)
}

// TestBackground: a tab that was opened behind another counts no time before
// it is seen, and does not listen.
func TestBackground(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.ahead = 20 * time.Second
	p.Before(shift)
	p.Before(`window.gone = true; Object.defineProperty(document, "hidden", { get: () => window.gone })`)
	p.Goto(b.url + "/blog/buying-a-laptop")
	b.wait("page", 1)
	p.Eval("window.shift += 20_000", nil)
	b.do(func() {
		if len(b.streams) > 0 {
			t.Error("a hidden tab listens")
		}
	})
	p.Eval(`window.gone = false; document.dispatchEvent(new Event("visibilitychange"))`, nil)
	b.until("the stream", func() bool { return len(b.streams) == 1 })
	time.Sleep(600 * time.Millisecond)
	p.Goto("about:blank")
	if x := b.wait("Page Pinged", 1)[0].decoded.X; x < 0.5 || x > 15 {
		t.Errorf("%v s, want those since it was seen", x)
	}
}

// TestTabs: two tabs of a visitor are one device, and a push reaches both.
func TestTabs(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/")
	tab := p.Tab()
	tab.Goto(b.url + "/product/hush")
	// A browser may say that the first is hidden now; both are to listen.
	const seen = `Object.defineProperty(document, "hidden", { get: () => false }); document.dispatchEvent(new Event("visibilitychange"))`
	p.Eval(seen, nil)
	tab.Eval(seen, nil)
	b.until("two streams of one device", func() bool {
		ids := map[string]bool{}
		for _, id := range b.streams {
			ids[id] = true
		}
		return len(b.streams) == 2 && len(ids) == 1
	})
	b.push("high_intent", fill("banner", "r", "<p>both</p>"))
	p.Wait(`document.querySelector(".banner").textContent === "both"`)
	tab.Wait(`document.querySelector(".banner").textContent === "both"`)
}
