package web_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
)

// TestPageCall: what a page call says, and that it is one visitor's.
func TestPageCall(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/product/aero-14?x=1")
	first := b.wait("page", 1)[0]
	p.Click("header a[href='/category/phones']")
	second := b.wait("page", 2)[1]
	if first.decoded.Kind != event.KindPage || first.decoded.PageType != event.PageProduct || second.decoded.PageType != event.PageList {
		t.Errorf("kinds and page types %+v, %+v", first.decoded, second.decoded)
	}
	for key, want := range map[string]any{"path": "/product/aero-14", "search": "?x=1", "url": b.url + "/product/aero-14?x=1", "referrer": ""} {
		if got := first.Properties[key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if got := second.Properties["referrer"]; got != b.url+"/product/aero-14?x=1" {
		t.Errorf("referrer of the second page is %v", got)
	}
	if first.AnonymousID == "" || first.AnonymousID != second.AnonymousID || first.writeKey != "demo" {
		t.Errorf("device %q, then %q; write key %q", first.AnonymousID, second.AnonymousID, first.writeKey)
	}
	if d := first.decoded; d.Width != 1280 && d.Width != 800 || d.DeviceType != event.DeviceDesktop {
		t.Errorf("screen %d wide, device %s", d.Width, event.DeviceTypes[d.DeviceType])
	}
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("problems %q", got)
	}
}

// TestShopEvents: a purchase from the list to the order, with the events of
// Segment's e-commerce spec, each once.
func TestShopEvents(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/category/laptops")
	list := b.wait("Product List Viewed", 1)[0]
	p.Click(".card:first-child .actions button:last-child")
	p.Click(".card:first-child h3")
	viewed := b.wait("Product Viewed", 1)[0]
	p.Click("#buy .primary")
	added := b.wait("Product Added", 1)[0]
	p.Click("#compare-link")
	b.wait("page", 3)
	p.Wait(`document.querySelectorAll("tr[data-ms-element=features]").length === 5`)
	p.Click("a[href='/cart']")
	cart := b.wait("Cart Viewed", 1)[0]
	p.Click("#go")
	checkout := b.wait("Checkout Started", 1)[0]
	p.Type("input[name=name]", "A. Visitor")
	p.Type("input[name=address]", "1 Main Street")
	p.Type("input[name=town]", "Springfield")
	p.Click("#order button")
	order := b.wait("Order Completed", 1)[0]
	for _, c := range []struct {
		a    arrived
		kind event.Kind
		page event.PageType
		x, y float64
	}{
		{list, event.KindListView, event.PageList, 0, 0},
		{viewed, event.KindProductView, event.PageProduct, 899, 0},
		{added, event.KindCartAdd, event.PageProduct, 899, 1},
		{cart, event.KindCartView, event.PageCart, 899, 1},
		{checkout, event.KindCheckout, event.PageCheckout, 899, 1},
		{order, event.KindOrder, event.PageConfirmation, 899, 0},
	} {
		if d := c.a.decoded; d.Kind != c.kind || d.PageType != c.page || d.X != c.x || d.Y != c.y {
			t.Errorf("%s: %s on %s, %v and %v; want %s on %s, %v and %v", c.a.name(), d.Kind, event.PageTypes[d.PageType], d.X, d.Y, c.kind, event.PageTypes[c.page], c.x, c.y)
		}
	}
	if viewed.decoded.Flags&event.FlagHighTicket == 0 {
		t.Error("a laptop for 899 is not high-ticket")
	}
	form := b.wait("Form Submitted", 1)[0]
	if started := b.wait("Form Started", 1); len(started) != 1 || started[0].Properties["form"] != "checkout" || form.Properties["form"] != "checkout" {
		t.Errorf("forms started %v, submitted %v", started, form.Properties)
	}
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("problems %q", got)
	}
}

// TestScroll: the depth, its marks, the velocity since the last report, and
// the time until half of the page was seen.
func TestScroll(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/blog/buying-a-laptop")
	b.wait("page", 1)
	p.Eval(`(() => { const d = document.createElement("div"); d.id = "long"; document.querySelector("main").append(d);
		d.style.height = "4000px"; d.style.height = 8000 - document.documentElement.scrollHeight + "px" })()`, nil)
	var view float64
	p.Eval("innerHeight", &view)
	p.Eval(fmt.Sprintf("scrollTo(0, 4000 * 0.3 - %v)", view), nil)
	first := b.wait("Page Scrolled", 1)[0]
	if d := first.decoded; d.Kind != event.KindScroll || d.X < 0.29 || d.X > 0.32 || d.Y <= 0 || d.Z != 0 {
		t.Errorf("depth %v, velocity %v, half after %v s; want 0.3, some, not yet", d.X, d.Y, d.Z)
	}
	p.Eval(fmt.Sprintf("scrollTo(0, 4000 * 0.32 - %v)", view), nil) // no mark in between
	time.Sleep(100 * time.Millisecond)
	p.Eval(fmt.Sprintf("scrollTo(0, 4000 * 0.65 - %v)", view), nil)
	second := b.wait("Page Scrolled", 2)[1]
	if d := second.decoded; d.X < 0.64 || d.X > 0.67 || d.Z <= 0 {
		t.Errorf("depth %v, half after %v s; want 0.65 and some", d.X, d.Z)
	}
	p.Eval("scrollTo(0, 0)", nil) // the deepest counts; told when the page is left
	p.Eval("new Promise(requestAnimationFrame)", nil)
	p.Click("header .brand")
	third := b.wait("Page Scrolled", 3)[2]
	if d := third.decoded; d.X < 0.64 || d.X > 0.67 || third.number("velocity") <= 0 || d.PageType != event.PageContent {
		t.Errorf("on leaving: depth %v, velocity %v, page %s; want 0.65, some, content", d.X, d.Y, event.PageTypes[d.PageType])
	}
}

// TestHoverAndFocus: marked elements tell for how long they had the pointer or
// the focus; what the pointer passes does not.
func TestHoverAndFocus(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/compare?ids=aero-14,nimbus-13")
	p.Hover("tr[data-ms-element=price] td")
	time.Sleep(400 * time.Millisecond)
	p.Hover("tr[data-ms-element=features] td")
	price := b.wait("Element Hovered", 1)[0]
	if d := price.decoded; d.Kind != event.KindHover || d.Element != 1 || d.X < 400 || d.X > 30_000 {
		t.Errorf("%v: element %d, %v ms; want price (1), at least 400", price.Properties, d.Element, d.X)
	}
	p.Hover("tr[data-ms-element=reviews] td") // at once
	p.Hover("h1")
	p.Eval(`document.querySelector("tr[data-ms-element=add_to_cart] button").focus()`, nil)
	time.Sleep(300 * time.Millisecond)
	p.Eval(`document.activeElement.blur()`, nil)
	focus := b.wait("Element Focused", 1)[0]
	if d := focus.decoded; d.Kind != event.KindFocus || d.Element != 4 || d.X < 300 {
		t.Errorf("%v: element %d, %v ms; want add_to_cart (4), at least 300", focus.Properties, d.Element, d.X)
	}
	p.Click("tr[data-ms-element=add_to_cart] button")
	click := b.wait("Element Clicked", 1)[0]
	if click.decoded.Kind != event.KindClick || click.Properties["element"] != "add_to_cart" || click.Properties["text"] != "Add to cart" {
		t.Errorf("click %v", click.Properties)
	}
}

// TestVideo: start, pause and end of a play have one session; the next play
// has another.
func TestVideo(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/product/aero-14")
	p.Eval(`document.querySelector("video").play()`, nil)
	start := b.wait("Video Playback Started", 1)[0]
	p.Wait(`document.querySelector("video").currentTime > 0.3`)
	p.Eval(`document.querySelector("video").pause()`, nil)
	pause := b.wait("Video Playback Paused", 1)[0]
	p.Eval(`(v => { v.currentTime = 3.5; v.play() })(document.querySelector("video"))`, nil)
	end := b.wait("Video Playback Completed", 1)[0]
	if start.decoded.Kind != event.KindVideoStart || pause.decoded.Kind != event.KindVideoPause || end.decoded.Kind != event.KindVideoComplete {
		t.Errorf("kinds %s, %s, %s", start.decoded.Kind, pause.decoded.Kind, end.decoded.Kind)
	}
	if start.decoded.Item == 0 || start.decoded.Item != pause.decoded.Item || start.decoded.Item != end.decoded.Item {
		t.Errorf("sessions %v, %v, %v; want one", start.Properties, pause.Properties, end.Properties)
	}
	if pause.decoded.X < 0.3 || end.decoded.X < 3.9 || end.number("total_length") != 4 {
		t.Errorf("positions %v and %v of %v s", pause.decoded.X, end.decoded.X, end.number("total_length"))
	}
	p.Eval(`document.querySelector("video").play()`, nil)
	again := b.wait("Video Playback Started", 2)[1]
	if again.decoded.Item == start.decoded.Item {
		t.Error("the second play has the session of the first")
	}
	if n := len(b.wait("Video Playback Resumed", 1)); n != 1 {
		t.Errorf("%d resumptions, want 1", n)
	}
}

// shift moves the page's Date forward; timers go on as they were.
const shift = `(() => { const now = Date.now; window.shift = 0; Date.now = () => now() + window.shift })()`

// TestHeartbeat: a page that is looked at says so, with the seconds since it
// last did; a page that nobody touches goes quiet, and comes back.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Before(shift)
	p.Goto(b.url + "/compare?ids=aero-14")
	b.wait("page", 1)
	first := b.wait("Page Pinged", 1)[0]
	if d := first.decoded; d.Kind != event.KindPing || d.Flags&event.FlagVisible == 0 || d.X < 4.9 || d.X > 30 {
		t.Errorf("first heartbeat: %s, flags %v, %v s; want ping, visible, 5", d.Kind, d.Flags, d.X)
	}
	if d := first.decoded; d.PageType != event.PageComparison {
		t.Errorf("heartbeat of %s", event.PageTypes[d.PageType])
	}
	// Ten minutes nobody touches it: of them, what attention is given counts.
	b.do(func() { b.ahead = 10 * time.Minute })
	p.Eval("window.shift += 600_000", nil)
	second := b.wait("Page Pinged", 2)[1]
	if x := second.decoded.X; x > 31 {
		t.Errorf("%v s of ten minutes without a touch, at most 30 count", x)
	}
	time.Sleep(6 * time.Second)
	b.do(func() {
		if n := len(b.named("Page Pinged")); n != 2 {
			t.Errorf("%d heartbeats, want none after the page has gone quiet", n)
		}
	})
	p.MoveTo(200, 300)
	p.MoveTo(300, 300)
	time.Sleep(time.Second)
	p.Click("header .brand")
	third := b.wait("Page Pinged", 3)[2]
	if x := third.decoded.X; x < 0.9 || x > 20 {
		t.Errorf("%v s after coming back, want the time since the touch", x)
	}
}

// TestHidden: a tab that is put behind another tells what was left to tell, by
// sendBeacon, and is silent until it is seen again.
func TestHidden(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/blog/buying-a-laptop")
	b.wait("page", 1)
	time.Sleep(700 * time.Millisecond)
	p.Eval(`Object.defineProperty(document, "hidden", { get: () => window.gone, configurable: true }); window.gone = true; document.dispatchEvent(new Event("visibilitychange"))`, nil)
	ping := b.wait("Page Pinged", 1)[0]
	if ping.mode != "no-cors" || ping.decoded.X < 0.6 || ping.decoded.X > 20 {
		t.Errorf("%v by a request of mode %q; want the seconds that it was seen, by sendBeacon (no-cors)", ping.Properties, ping.mode)
	}
	time.Sleep(time.Second)
	p.Eval(`window.gone = false; document.dispatchEvent(new Event("visibilitychange"))`, nil)
	time.Sleep(600 * time.Millisecond)
	p.Eval(`window.gone = true; document.dispatchEvent(new Event("visibilitychange"))`, nil)
	again := b.wait("Page Pinged", 2)[1]
	if x := again.decoded.X; x < 0.5 || x > 20 {
		t.Errorf("%v s, want those since it was seen again", x)
	}
}

// TestSinglePage: applications of one page have page views, too, and what is
// measured belongs to the page that it was measured on.
func TestSinglePage(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/")
	b.wait("page", 1)
	p.Hover(".hero .button")
	time.Sleep(600 * time.Millisecond)
	p.Eval(`history.pushState({}, "", "/product/hush"); document.title = "Hush"`, nil)
	second := b.wait("page", 2)[1]
	if second.decoded.PageType != event.PageProduct || second.Properties["title"] != "Hush" || second.Properties["referrer"] != b.url+"/" {
		t.Errorf("page %v", second.Properties)
	}
	if ping := b.wait("Page Pinged", 1)[0]; ping.decoded.PageType != event.PageHome {
		t.Errorf("the time on the first page was told of %s", event.PageTypes[ping.decoded.PageType])
	}
	p.Eval(`history.replaceState({}, "", "/product/hush#stars")`, nil) // the same page
	p.Eval("history.back()", nil)
	third := b.wait("page", 3)[2]
	if third.decoded.PageType != event.PageHome {
		t.Errorf("back on %s", event.PageTypes[third.decoded.PageType])
	}
}

// TestHashRoutes: a shop that routes by fragment had one page view, whatever its
// visitors looked at. With data-hash-routes a route is a page, however it was
// changed, and any other fragment is still a place in a page.
func TestHashRoutes(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	cfg := config.Demo().EventConfig()
	cfg.HashRoutes = true
	dec, err := event.NewDecoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.dec = dec
	p.Before(`new MutationObserver(() => { const s = document.querySelector("script[src='/microseg.js']"); if (s) s.dataset.hashRoutes = "" }).observe(document, { childList: true, subtree: true })`)
	p.Goto(b.url + "/#/category/laptops")
	at := func(n int, want event.PageType, referrer string) {
		t.Helper()
		got := b.wait("page", n)[n-1]
		if got.decoded.PageType != want || got.Properties["referrer"] != referrer {
			t.Errorf("view %d is of a %s, from %v; want a %s, from %s", n, event.PageTypes[got.decoded.PageType],
				got.Properties["referrer"], event.PageTypes[want], referrer)
		}
	}
	at(1, event.PageList, "")
	p.Eval(`location.hash = "#/product/hush?colour=red"`, nil)
	at(2, event.PageProduct, b.url+"/#/category/laptops")
	p.Eval(`document.body.append(Object.assign(document.createElement("a"), { href: "#!/cart", id: "go", textContent: "Cart" })); document.getElementById("go").click()`, nil)
	at(3, event.PageCart, b.url+"/#/product/hush?colour=red")
	p.Eval("history.back()", nil)
	at(4, event.PageProduct, b.url+"/#!/cart")
	p.Eval(`history.pushState({}, "", "#/checkout/1")`, nil)
	at(5, event.PageCheckout, b.url+"/#/product/hush?colour=red")
	p.Eval(`location.hash = "#/checkout/1"`, nil) // the same page
	p.Eval(`history.replaceState({}, "", "#/")`, nil)
	at(6, event.PageHome, b.url+"/#/checkout/1")
	p.Eval(`location.hash = "#stars"`, nil) // leaves the route for the shop's own page "/"
	at(7, event.PageHome, b.url+"/#/")
	p.Eval(`location.hash = "#reviews"`, nil) // a place in it
	p.Eval(`location.hash = "#/cart"`, nil)
	at(8, event.PageCart, b.url+"/#stars")
}

// TestDeclared: events that elements state with data-ms-track.
func TestDeclared(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/")
	p.Eval(`(() => { const b = document.createElement("button"); b.id = "stated"; b.textContent = "Buy";
		b.dataset.msTrack = JSON.stringify({ event: "Product Added", properties: { product_id: "x", price: 5, quantity: 2 } });
		document.querySelector("main").prepend(b) })()`, nil)
	p.Click("#stated")
	if d := b.wait("Product Added", 1)[0].decoded; d.Kind != event.KindCartAdd || d.X != 5 || d.Y != 2 {
		t.Errorf("%s, %v × %v", d.Kind, d.Y, d.X)
	}
}

// TestPhone: the device, from the user agent, and the network.
func TestPhone(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Phone()
	p.Before(`Object.defineProperty(navigator, "connection", { value: { effectiveType: "3g", type: "cellular" } })`)
	p.Goto(b.url + "/")
	d := b.wait("page", 1)[0].decoded
	if d.DeviceType != event.DeviceMobile || d.Network != event.Network3G || d.OS != event.OSAndroid || d.Width != 390 {
		t.Errorf("%s with %s, %s, %d wide", event.DeviceTypes[d.DeviceType], event.Networks[d.Network], event.OSes[d.OS], d.Width)
	}
}

// TestIdentity: identify, alias and reset, and two tabs of one visitor.
func TestIdentity(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/")
	p.Click("#who")
	p.Type("#signin input", "ada")
	p.Click("#signin button")
	id := b.wait("identify", 1)[0]
	if id.UserID != "ada" || id.decoded.User != "ada" || id.Traits["name"] != "ada" {
		t.Errorf("identify %s", id.Raw)
	}
	tab := p.Tab()
	tab.Goto(b.url + "/cart")
	other := b.wait("page", 2)[1]
	if other.UserID != "ada" || other.AnonymousID != id.AnonymousID {
		t.Errorf("in another tab %q on %q, want ada on %q", other.UserID, other.AnonymousID, id.AnonymousID)
	}
	p.Eval(`microseg.alias("ada@example.com")`, nil)
	alias := b.wait("alias", 1)[0]
	if alias.UserID != "ada@example.com" || alias.PreviousID != "ada" {
		t.Errorf("alias %s", alias.Raw)
	}
	p.Eval(`microseg.reset(); microseg.track("After")`, nil)
	after := b.wait("After", 1)[0]
	if after.UserID != "" || after.AnonymousID == id.AnonymousID || after.AnonymousID == "" {
		t.Errorf("after the reset %q on %q, which was %q", after.UserID, after.AnonymousID, id.AnonymousID)
	}
}

// TestLinkTokenIsNotTold: a link's token links whoever sees it. It was in the page
// call of a page whose tag runs before link.js has taken it out of the address.
func TestLinkTokenIsNotTold(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/")
	b.wait("page", 1)
	p.Eval(`history.pushState(null, "", "/cart?a=1&ms_link=v1.secret.x&b=2#top")`, nil)
	got := b.wait("page", 2)[1]
	if strings.Contains(string(got.Raw), "secret") || got.Properties["search"] != "?a=1&b=2" || !strings.HasSuffix(fmt.Sprint(got.Properties["url"]), "/cart?a=1&b=2#top") {
		t.Errorf("the page call is %s", got.Raw)
	}
	p.Eval(`history.replaceState(null, "", "/cart?a=1&b=2#top")`, nil) // as link.js does
	p.Eval(`microseg.track("After")`, nil)
	b.wait("After", 1)
	if n := len(b.wait("page", 2)); n != 2 {
		t.Errorf("%d page views", n)
	}
}
