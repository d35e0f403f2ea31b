package browser

import (
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/testing/harness/chromium"
)

// TestCategoryBanner: more than two minutes on a product, scrolled past 60 %,
// no form submitted: half the price of the category, with a countdown. Who has
// submitted a form is not offered it; who submits one later keeps what was promised.
func TestCategoryBanner(t *testing.T) {
	site.seed(t)
	p, reader := site.visit(t), site.visit(t)
	for _, p := range []*chromium.Page{p, reader} {
		site.open1(p, "/product/aero-14")
		p.Eval(`scrollTo(0, document.documentElement.scrollHeight)`, nil)
	}
	subscribe := func(p *chromium.Page) {
		p.Front()
		p.Type("input[name=email]", "ann@example.com")
		p.Click("#newsletter button")
	}
	subscribe(reader)
	p.Front()
	site.stay(100*time.Second, p, reader)
	if got := p.Text(`document.querySelector("[data-ms-slot=banner]").dataset.msRule`); got != "undefined" {
		t.Errorf("after 100 s the banner is %s's", got)
	}
	site.stay(60*time.Second, p, reader)
	p.Wait(`document.querySelector("[data-ms-slot=banner]").dataset.msRule === "category_banner"`)
	if got := p.Text(`document.querySelector("[data-ms-slot=banner]").textContent`); !strings.Contains(got, "50% off this category") {
		t.Errorf("the banner says %q", got)
	}
	if got := reader.Text(`document.querySelector("[data-ms-slot=banner]").dataset.msRule`); got != "undefined" {
		t.Errorf("who has submitted a form is offered %s", got)
	}
	subscribe(p)
	site.stay(5*time.Second, p)
	if got := p.Text(`document.querySelector("[data-ms-slot=banner]").dataset.msRule`); got != "category_banner" {
		t.Errorf("the offer that was made is gone: %s", got)
	}
}

// TestPhone: on a slow phone the layout is simple and images are light; who
// scrolls slowly there is spared heavy animations.
func TestPhone(t *testing.T) {
	site.seed(t)
	p := site.visit(t)
	p.Phone()
	p.Before(`Object.defineProperty(navigator, "connection", { value: { effectiveType: "3g", type: "cellular", addEventListener() {} } })`)
	site.open1(p, "/category/laptops")
	p.Wait(`document.documentElement.dataset.msLayout === "simple" && document.documentElement.dataset.msImages === "light"`)
	if got := p.Text(`document.documentElement.dataset.msMotion`); got != "undefined" {
		t.Errorf("before any scrolling motion is %s", got)
	}
	// The page is told of the depth at its marks: far apart in time, that is slow.
	height := 0.
	p.Eval(`document.documentElement.scrollHeight - innerHeight`, &height)
	for range 12 {
		p.Eval(`scrollBy(0, 30)`, nil)
		site.stay(70*time.Second, p)
	}
	p.Eval(`dispatchEvent(new Event("pagehide"))`, nil) // tells of the rest
	p.Wait(`document.documentElement.dataset.msMotion === "delayed"`)
}

// TestAnalyzer: 90 s of comparing with the pointer on price and on features
// give a discount over the page and tips beside it.
func TestAnalyzer(t *testing.T) {
	site.seed(t, "everyone/medium_intent", "everyone/medium_intent/price_sensitive_analyzer")
	p := site.visit(t)
	// A few products, so that the intent is there without a cart.
	for _, path := range []string{"/product/aero-14", "/product/aero-16", "/category/laptops"} {
		site.open1(p, path)
		site.advance(2*time.Second, 0, p)
	}
	site.open1(p, "/compare?ids=aero-14,aero-16")
	for _, element := range []string{"price", "features"} {
		p.Hover("tr[data-ms-element=" + element + "]")
		site.advance(2*time.Second, 0, p)
	}
	p.MoveTo(1, 1)
	for range 3 {
		site.stay(35*time.Second, p)
		p.Eval(`microseg.track("Product Viewed", {product_id: "aero-14", category: "computers/laptops", price: 899})`, nil)
	}
	p.Wait(`document.querySelector("[data-ms-slot=overlay]").dataset.msRule === "analyzer_overlay"`)
	p.Wait(`document.querySelector("[data-ms-slot=sidebar]").dataset.msRule === "comparison_tips"`)
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("the browser complains: %q", got)
	}
}
