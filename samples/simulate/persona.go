package simulate

import (
	"fmt"
	"math/rand/v2"
)

// persona is a way of behaving in the shop.
type persona struct {
	name   string
	share  float64    // of the visitors; all shares add up to 1
	pause  [2]float64 // seconds between visits, at least and at most
	mobile float64    // share on a phone
	slow   float64    // share of the phones that are on 3G
	visit  func(*visitor)
}

// personas are the brief's. The shares are chosen so that comparers with
// hovering, cart abandoners and phones on 3G are each above the 12 % at which a
// segment becomes active, with a margin of several standard deviations.
var personas = []persona{
	{"comparer", 0.20, [2]float64{600, 1500}, 0.2, 0, compare},
	{"abandoner", 0.20, [2]float64{1500, 2700}, 0.2, 0, abandon},
	{"skimmer", 0.23, [2]float64{240, 900}, 1, 0.9, skim},
	{"buyer", 0.10, [2]float64{1800, 3600}, 0.4, 0.1, buy},
	{"bot", 0.04, [2]float64{30, 90}, 0, 0, crawl},
	{"casual", 0.15, [2]float64{900, 2400}, 0.5, 0.1, stroll},
	{"high_ticket", 0.08, [2]float64{1800, 3600}, 0.1, 0, deliberate},
}

func pick(rng *rand.Rand) *persona {
	x := rng.Float64()
	for i := range personas {
		if x -= personas[i].share; x < 0 {
			return &personas[i]
		}
	}
	return &personas[0]
}

// compare weighs products against each other, looking at price and features.
func compare(v *visitor) {
	v.open("list", fmt.Sprint("/category/", v.rng.IntN(12)))
	v.scroll(0.4+0.3*v.rng.Float64(), 900)
	v.view(v.article(false))
	v.read(15)
	v.compareFor(100 + 80*v.rng.Float64())
	if v.chance(0.3) {
		p := v.article(false)
		v.view(p)
		v.scroll(0.9, 500)
		v.video(v.chance(0.5))
	}
}

// compareFor stays on comparison pages for so many seconds. Comparing goes
// from table to table with short stays, so that all of it counts as dwell.
func (v *visitor) compareFor(seconds float64) {
	v.wait(1, 3)
	for end := v.now.Add(v.between(seconds, seconds)); v.now.Before(end); {
		v.open("comparison", fmt.Sprint("/compare/", v.rng.IntN(40)))
		v.hover("price")
		v.read(10)
		v.hover("features")
		v.read(10)
		v.scroll(0.5+0.4*v.rng.Float64(), 600)
	}
	// The page that ends the comparison closes its last stay.
	v.wait(1, 3)
	v.open("list", "/category/compared")
}

// abandon compares, fills the cart and leaves.
func abandon(v *visitor) {
	v.open("home", "/")
	v.wait(3, 10)
	v.compareFor(100 + 50*v.rng.Float64())
	for range 1 + v.rng.IntN(2) {
		p := v.article(false)
		v.view(p)
		v.scroll(0.75+0.2*v.rng.Float64(), 500)
		v.put(p)
	}
	v.viewCart()
	v.read(10)
	if v.chance(0.3) {
		v.checkout(false)
	}
}

// skim flies over a few pages.
func skim(v *visitor) {
	v.open("home", "/")
	for range 2 + v.rng.IntN(3) {
		v.wait(3, 9)
		v.open("list", fmt.Sprint("/category/", v.rng.IntN(12)))
		v.scroll(0.2+0.3*v.rng.Float64(), 2500)
		v.wait(2, 6)
		v.emit("Product Clicked", nil)
		v.view(v.article(false))
		v.scroll(0.1+0.3*v.rng.Float64(), 3000)
	}
}

// buy knows what is wanted, and completes the order.
func buy(v *visitor) {
	v.open("search", "/search")
	v.wait(3, 8)
	for range 1 + v.rng.IntN(3) {
		p := v.article(v.chance(0.1))
		v.view(p)
		v.scroll(0.8, 700)
		v.read(20)
		v.put(p)
	}
	v.viewCart()
	v.checkout(true)
}

// crawl takes page after page at an even pace.
func crawl(v *visitor) {
	for i := range 20 + v.rng.IntN(20) {
		v.open("product", fmt.Sprint("/product/p", (v.index+i)%400))
		v.wait(0.8, 1.2)
	}
}

// stroll reads a little of this and that.
func stroll(v *visitor) {
	v.open("content", fmt.Sprint("/blog/", v.rng.IntN(30)))
	v.read(20 + 40*v.rng.Float64())
	v.scroll(0.6, 400)
	if v.chance(0.4) {
		v.video(v.chance(0.3))
	}
	if v.chance(0.5) {
		v.wait(2, 5)
		v.emit("Link Clicked", nil)
		v.view(v.article(false))
		v.read(10)
	}
}

// deliberate spends more than eight minutes with expensive electronics, and
// then leaves the cart behind.
func deliberate(v *visitor) {
	v.open("list", "/category/laptops")
	v.wait(5, 15)
	var p product
	for spent := 0; spent < 520; spent += 65 {
		p = v.article(true)
		v.view(p)
		v.read(30)
		v.hover("features")
		v.read(30)
		v.scroll(0.9, 300)
	}
	v.put(p)
	v.viewCart()
}

// device is what the visitor uses.
type device struct {
	kind, os, network, agent string
	width, height            int
}

const (
	desktopAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
	phoneAgent   = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36"
	botAgent     = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
)

func (p *persona) device(rng *rand.Rand) device {
	switch {
	case p.name == "bot":
		return device{network: "4g", agent: botAgent, width: 1024, height: 768}
	case rng.Float64() >= p.mobile:
		return device{"desktop", "Windows", "4g", desktopAgent, 1920, 1080}
	case rng.Float64() < p.slow:
		return device{"mobile", "Android", "3g", phoneAgent, 412, 915}
	}
	return device{"mobile", "Android", "4g", phoneAgent, 412, 915}
}
