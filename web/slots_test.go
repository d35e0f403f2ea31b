package web_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// fill is an action that fills a slot.
func fill(slot, rule, html string, more ...any) map[string]any {
	a := map[string]any{"slot": slot, "rule": rule, "html": html, "ttl_s": 3600, "why": "a test"}
	for i := 0; i < len(more); i += 2 {
		a[more[i].(string)] = more[i+1]
	}
	return a
}

// TestPush: a segment that the server pushes changes the page without a
// reload, and the slot gets back what it had.
func TestPush(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/product/aero-14")
	b.until("a personalize request", func() bool { return len(b.asked) > 0 })
	p.Eval("window.same = true", nil)
	original := p.Text(`document.querySelector(".banner").textContent`)
	b.push("cart_abandoner", fill("banner", "cart_banner", `<p class="ms-banner">Your cart is waiting</p>`))
	p.Wait(`document.querySelector(".banner .ms-banner")?.textContent === "Your cart is waiting"`)
	if got := p.Text(`window.same + document.querySelector(".banner").dataset.msRule + document.querySelector(".banner").getAttribute("aria-live")`); got != "truecart_bannerpolite" {
		t.Errorf("the page is %q", got)
	}
	b.do(func() {
		last := b.asked[len(b.asked)-1]
		event, _ := last["event"].(map[string]any)
		properties, _ := event["properties"].(map[string]any)
		if last["segment"] != "cart_abandoner" || last["token"] != "v1.pushed" || last["anonymousId"] == nil ||
			event["type"] != "page" || properties["path"] != "/product/aero-14" || properties["category"] != "computers/laptops" || properties["product_id"] != "aero-14" {
			t.Errorf("asked with %v", last)
		}
	})
	b.push("everyone")
	p.Wait(fmt.Sprintf(`document.querySelector(".banner").textContent === %q && !document.querySelector(".banner").dataset.msRule`, original))
	b.do(func() { b.noPersonal = true })
	b.push("cart_abandoner", fill("banner", "cart_banner", `<p>not seen</p>`))
	time.Sleep(300 * time.Millisecond)
	if got := p.Text(`document.querySelector(".banner").textContent`); got != original {
		t.Errorf("while the backend fails the slot holds %q, want what it had", got)
	}
}

// TestGlobals: the functions that a page's own scripts call.
func TestGlobals(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.served, b.actions = "price_sensitive_analyzer", []map[string]any{fill("hero", "h", "<h2>Hello</h2>")}
	p.Goto(b.url + "/")
	var answer struct {
		Segment string
		Actions []map[string]any
	}
	p.Eval(`getUserSegment().then((s) => personalizeContent(s, { type: "track", event: "Product Viewed", properties: { category: "x" } }))`, &answer)
	if answer.Segment != "price_sensitive_analyzer" || len(answer.Actions) != 1 || answer.Actions[0]["rule"] != "h" {
		t.Errorf("answer %+v", answer)
	}
	if got := p.Text(`document.querySelector(".hero").textContent`); got != "Hello" {
		t.Errorf("the slot holds %q", got)
	}
}

// hostile is what a template might let through if it escaped nothing.
const hostile = `<p onclick="hit()" style="position:fixed;inset:0" id="location">text</p>
<script>hit()</script><script src="/evil.js"></script><img src="x" onerror="hit()"><img src="javascript:hit()">
<svg onload="hit()"><script>hit()</script><a xlink:href="javascript:hit()"><text>x</text></a></svg>
<math><mi xlink:href="data:x,<script>hit()</script>"></mi></math>
<iframe srcdoc="<script>parent.hit()</script>"></iframe><object data="/evil"></object><embed src="/evil"><link rel="stylesheet" href="/evil.css">
<style>body{display:none}</style><base href="https://evil.example/"><meta http-equiv="refresh" content="0;url=https://evil.example/">
<form action="/evil"><input name="q"><button formaction="javascript:hit()" class="ok">press</button></form>
<a class="js" href=" java&#10;script:hit()">a</a><a class="data" href="data:text/html,<script>hit()</script>">b</a><a class="good" href="/cart/">c</a>
<template><img src=x onerror=hit()></template><noscript><p title="</noscript><img src=x onerror=hit()>"></p></noscript>
<details open ontoggle="hit()">d</details><video src="/evil" onerror="hit()"></video><b data-ms-countdown="60" aria-label="left">00:00</b>
<table><tr><td background="javascript:hit()">cell</td></tr></table><esi:include src="/evil"/>`

// TestHostile: whatever HTML arrives, nothing runs, nothing is loaded, and no
// style changes, under the shop's policy and without one.
func TestHostile(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{true, false} {
		t.Run(fmt.Sprintf("policy=%v", strict), func(t *testing.T) {
			t.Parallel()
			b, p := newBackend(t), visit(t)
			b.loose = !strict
			p.Before("window.hits = 0; window.hit = () => window.hits++")
			b.actions = []map[string]any{fill("hero", "evil", hostile)}
			p.Goto(b.url + "/")
			p.Wait(`document.querySelector(".hero .good")`)
			p.Eval(`document.querySelectorAll(".hero p, .hero a.js, .hero a.data, .hero button").forEach((e) => e.click())`, nil)
			time.Sleep(200 * time.Millisecond)
			const left = `JSON.stringify([window.hits, [...new Set([...document.querySelectorAll(".hero *")].map((e) => e.localName))].sort(),
				[...document.querySelectorAll(".hero *")].flatMap((e) => [...e.attributes].map((a) => a.name)).filter((n) => /^(on|style|id|formaction|background|srcdoc)/.test(n)),
				document.querySelector(".hero .good").getAttribute("href"), document.querySelector(".hero a.js").hasAttribute("href"), document.querySelector(".hero a.data").hasAttribute("href")])`
			want := `[0,["a","b","img","p","table","tbody","td","tr"],[],"/cart/",false,false]`
			if got := p.Text(left); got != want {
				t.Errorf("left are %s\nwant %s", got, want)
			}
			b.do(func() {
				if got := strings.Join(b.paths, " "); strings.Contains(got, "evil") {
					t.Errorf("loaded %s", got)
				}
			})
			if got := strings.Join(p.Problems(), "\n"); strings.Contains(got, "exception") {
				t.Errorf("problems\n%s", got)
			}
		})
	}
}

// TestCountdown: mm:ss by the server's clock, one deadline for a rule in the
// tab however often it is answered anew, and an end.
func TestCountdown(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.ahead = time.Hour // of the visitor's clock
	p.Before(shift)
	offer := func() map[string]any {
		at := time.Now().Add(b.ahead + 10*time.Minute).UnixMilli()
		return fill("banner", "offer", fmt.Sprintf(`<p class="offer">Ends in <time data-ms-deadline="%d">10:00</time></p>`, at), "deadline", at)
	}
	b.actions = []map[string]any{offer()}
	p.Goto(b.url + "/")
	p.Wait(`/^(10:00|09:\d\d)$/.test(document.querySelector(".offer time")?.textContent)`)
	if got := p.Text(`["role", "aria-live"].map((n) => document.querySelector(".offer time").getAttribute(n))`); got != "timer,off" {
		t.Errorf("role and aria-live are %s", got)
	}
	p.Eval(`document.querySelector(".offer").mine = true`, nil)
	p.Eval("window.shift += 120_000", nil)
	b.do(func() { b.ahead += 2 * time.Minute })
	p.Wait(`/^0(8:00|7:\d\d)$/.test(document.querySelector(".offer time").textContent)`)
	b.do(func() { b.actions = []map[string]any{offer()} }) // counts from when it is answered
	p.Eval(`personalizeContent("everyone")`, nil)
	if got := p.Text(`document.querySelector(".offer").mine + document.querySelector(".offer time").textContent`); !strings.HasPrefix(got, "true07:") && got != "true08:00" {
		t.Errorf("answered again: %s, want the same element and the first deadline", got)
	}
	p.Goto(b.url + "/cart")
	p.Wait(`/^0(8:00|7:\d\d)$/.test(document.querySelector(".offer time")?.textContent)`)
	p.Eval("window.shift += 480_000", nil)
	b.do(func() { b.ahead += 8 * time.Minute })
	p.Wait(`!document.querySelector(".offer") && document.querySelector(".banner").textContent.startsWith("Free delivery")`)
	b.do(func() { b.actions = []map[string]any{offer()} })
	p.Eval(`personalizeContent("everyone")`, nil)
	if got := p.Text(`document.querySelector(".offer")`); got != "null" {
		t.Error("an offer that was over is shown again")
	}
}

// TestFromEdge: content that an edge had put into the page gets its deadline,
// and goes when the answer has nothing for its slot.
func TestFromEdge(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.edge = `<section data-ms-rule="cart_hero" class="from-edge"><h2>Your cart</h2><time data-ms-countdown="900">15:00</time></section>`
	html := `<section class="personal"><time data-ms-deadline="1">15:00</time></section>`
	at := time.Now().Add(5 * time.Minute).UnixMilli()
	b.actions = []map[string]any{fill("hero", "cart_hero", html, "deadline", at)}
	p.Goto(b.url + "/")
	p.Wait(`/^0(5:00|4:\d\d)$/.test(document.querySelector(".from-edge time")?.textContent)`)
	b.push("everyone")
	p.Wait(`document.querySelector(".hero").children.length === 0`)
}

// TestNoShift: slots that reserve their size fill without moving anything.
func TestNoShift(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Before(`window.shifted = []; new PerformanceObserver((l) => window.shifted.push(...l.getEntries().map((e) => e.value + " " + e.sources?.map((s) => s.node?.className || s.node?.nodeName)))).observe({ type: "layout-shift", buffered: true })`)
	b.actions = []map[string]any{fill("banner", "r1", "<p>50% off, and more words than there were</p><p>second</p>"), fill("hero", "r2", "<h2>Hello</h2>"), fill("overlay", "r3", `<aside class="ms-overlay"><h2>Over</h2></aside>`), fill("sidebar", "r4", "<h2>Beside</h2>")}
	for _, path := range []string{"/", "/product/aero-14", "/compare?ids=aero-14,forge-15"} {
		p.Goto(b.url + path)
		p.Wait(`document.querySelector(".banner").dataset.msRule === "r1" && document.querySelector(".overlay").dataset.msRule === "r3"`)
		p.Eval("new Promise((r) => setTimeout(r, 400))", nil)
		if got := p.Text("JSON.stringify(window.shifted)"); got != "[]" {
			t.Errorf("%s: layout shifts %s", path, got)
		}
	}
}

// TestFocus: whoever has the focus in a slot keeps it; the content comes when
// they have left.
func TestFocus(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.actions = []map[string]any{fill("banner", "one", `<button>first</button>`)}
	p.Goto(b.url + "/")
	p.Wait(`document.querySelector(".banner button")`)
	p.Eval(`document.querySelector(".banner button").focus()`, nil)
	b.push("high_intent", fill("banner", "two", `<button>second</button>`), fill("hero", "h", "<h2>done</h2>"))
	p.Wait(`document.querySelector(".hero").textContent === "done"`)
	if got := p.Text(`document.activeElement.textContent`); got != "first" {
		t.Errorf("the focus is on %q, want the button that had it", got)
	}
	p.Eval(`document.activeElement.blur()`, nil)
	p.Wait(`document.querySelector(".banner").textContent === "second"`)
}

// TestSwitches: actions that change the page as a whole set attributes of
// <html>, and only those that are microseg's.
func TestSwitches(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	data := func(slot string, kv ...any) map[string]any {
		d := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			d[kv[i].(string)] = kv[i+1]
		}
		return map[string]any{"slot": slot, "rule": slot, "data": d}
	}
	b.actions = []map[string]any{data("layout", "layout", "simple", "images", "light"), data("motion", "attribute", "data-ms-motion", "value", "reduced"), data("evil", "attribute", "onclick", "value", "hit()")}
	p.Goto(b.url + "/")
	const attributes = `[...document.documentElement.attributes].map((a) => a.name + "=" + a.value).filter((a) => !a.startsWith("lang")).sort().join(" ")`
	p.Wait(attributes + ` === "data-ms-images=light data-ms-layout=simple data-ms-motion=reduced"`)
	b.push("everyone", data("motion", "motion", "delayed"))
	p.Wait(attributes + ` === "data-ms-motion=delayed"`)
}

// TestTimeToLive: content whose time to live is over is asked for again; what
// cannot be had goes.
func TestTimeToLive(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.actions = []map[string]any{fill("banner", "r", "<p>for a second</p>", "ttl_s", 1)}
	p.Goto(b.url + "/")
	p.Wait(`document.querySelector(".banner").dataset.msRule === "r"`)
	b.until("the next request", func() bool { return len(b.asked) >= 2 })
	b.do(func() { b.noPersonal = true })
	p.Wait(`!document.querySelector(".banner").dataset.msRule`)
}
