package web_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompareKeepsItsProducts: what is compared is there after a reload, on the
// way back from the cart and behind links that name nothing, such as the home
// page's "Compare the models side by side": the page was empty there.
func TestCompareKeepsItsProducts(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	shown := func(path, want string) {
		t.Helper()
		p.Goto(b.url + path)
		p.Wait(`document.querySelector("#table").childElementCount > 0`)
		if got := p.Text(`[...document.querySelectorAll("thead a")].map((a) => a.textContent).join(", ")`); got != want {
			t.Errorf("%s shows %q, want %q", path, got, want)
		}
	}
	shown("/compare", "")
	p.Goto(b.url + "/product/aero-14")
	p.Click("#buy button:last-child")
	shown("/compare", "Aero 14")
	shown("/compare?ids=aero-14,forge-15,no-such", "Aero 14, Forge 15")
	shown("/compare", "Aero 14, Forge 15")
	p.Goto(b.url + "/cart")
	shown("/compare", "Aero 14, Forge 15")
	shown("/compare?ids=no-such", "Aero 14, Forge 15")
	p.Click("#compare-link")
	p.Wait(`location.search === "?ids=aero-14,forge-15" && document.querySelectorAll("thead a").length === 2`)
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("the browser complains: %q", got)
	}
}

// contrasts finds texts whose contrast with what is behind them is below 4.5
// (WCAG AA), what fills slots included.
const contrasts = `(() => {
  const rgb = (s) => (s.match(/[\d.]+/g) || []).map(Number);
  const light = (c) => { const [r, g, b] = c.map((x) => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const s = getComputedStyle(e), c = rgb(s.backgroundColor);
    if (s.backgroundImage !== "none") return rgb(s.backgroundImage.slice(s.backgroundImage.indexOf("rgb"))).slice(0, 3);
    if (c.length === 3 || c[3] > .9) return c.slice(0, 3); } return [255, 255, 255]; };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !e.getClientRects().length) continue;
    const a = light(rgb(getComputedStyle(e).color).slice(0, 3)), b = light(behind(e)), c = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (c < 4.5) bad.push(e.tagName + "." + e.className + " " + e.textContent.trim().slice(0, 30) + " " + c.toFixed(1));
  }
  return bad.join("; ");
})()`

// TestColours: the shop follows the visitor's colour scheme, and everything can
// be read in both, on a desktop and on a phone. SHOP_SCREENSHOTS names a folder
// for pictures.
func TestColours(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.actions = []map[string]any{
		{"slot": "banner", "rule": "r", "html": `<section class="ms-banner"><p><strong>Your cart is waiting</strong></p><p>10% off</p><a href="/cart/">Back to your cart</a></section>`},
		{"slot": "overlay", "rule": "o", "html": `<aside class="ms-overlay"><h2>A better price</h2><p>10% off what you compare</p><p>Code <code>COMPARE10</code></p></aside>`},
		{"slot": "sidebar", "rule": "s", "html": `<aside class="ms-tips"><h2>How to compare</h2><dl><dt>Price</dt><dd>With delivery</dd></dl></aside>`},
		{"slot": "hero", "rule": "h", "html": `<section class="ms-hero"><h2>Welcome</h2><p>Find what suits you</p><a href="/category/all">Have a look</a></section>`}}
	for _, scheme := range []string{"light", "dark"} {
		for _, size := range []string{"desktop", "phone"} {
			p := visit(t)
			if size == "phone" {
				p.Phone()
			}
			p.Media("prefers-color-scheme", scheme)
			for _, path := range []string{"/", "/category/laptops", "/product/aero-14", "/compare?ids=aero-14,forge-15", "/cart", "/checkout/", "/blog/buying-a-laptop"} {
				p.Goto(b.url + path)
				p.Wait(`document.querySelector(".ms-filled") && document.readyState === "complete"`)
				if dark := p.Text(`getComputedStyle(document.documentElement).backgroundColor`) != "rgb(255, 255, 255)"; dark != (scheme == "dark") {
					t.Errorf("%s, %s: dark is %v", path, scheme, dark)
				}
				if bad := p.Text(contrasts); bad != "" {
					t.Errorf("%s, %s, %s: cannot be read: %s", path, scheme, size, bad)
				}
				if wide := p.Text(`document.documentElement.scrollWidth > innerWidth`); wide != "false" {
					t.Errorf("%s, %s: wider than the screen", path, size)
				}
				if dir := os.Getenv("SHOP_SCREENSHOTS"); dir != "" {
					name := strings.NewReplacer("/", "_", "?", "_", ",", "_").Replace(path)
					if err := os.WriteFile(filepath.Join(dir, scheme+"-"+size+name+".png"), p.Screenshot(), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			p.Close()
		}
	}
}
