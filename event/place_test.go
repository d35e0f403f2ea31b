package event

import (
	"fmt"
	"testing"
)

// TestPageCallsOwnProperties: a page call's own path was hidden by the automatic
// context, so that shops that state virtual pages, and Shopify's pixels in their
// sandbox, had no cart. What another event states is about something else.
func TestPageCallsOwnProperties(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	for _, c := range []struct {
		call, properties, context, path string
		typ                             PageType
	}{
		{`"type":"page"`, `{"path":"/cart"}`, `{"path":"/wpm@1a2b/sandbox/cart"}`, "/cart", PageCart},
		{`"type":"page"`, `{"url":"https://shop.example/cart"}`, `{"path":"/"}`, "/cart", PageCart},
		{`"type":"page"`, `{"path":"/cart"}`, `{}`, "/cart", PageCart},
		{`"type":"page"`, `{}`, `{"path":"/cart"}`, "/cart", PageCart},
		{`"type":"page"`, `{"path":"","url":""}`, `{"url":"https://shop.example/cart/?x"}`, "/cart", PageCart},
		{`"type":"page"`, `{"path":"https://shop.example/cart?a=1"}`, `{}`, "/cart", PageCart},
		{`"type":"page"`, `{"path":"/cartoons"}`, `{}`, "/cartoons", PageOther},
		{`"type":"screen"`, `{"path":"/cart"}`, `{"path":"/"}`, "/cart", PageCart},
		{`"type":"track","event":"Click"`, `{"path":"/cart"}`, `{"path":"/product/1"}`, "/product/1", PageProduct},
		{`"type":"track","event":"Product Viewed"`, `{"url":"https://shop.example/product/2"}`, `{"path":"/"}`, "/", PageHome},
		{`"type":"track","event":"Click"`, `{"path":"/cart"}`, `{}`, "/cart", PageCart},
	} {
		raw := []byte(fmt.Sprintf(`{%s,"anonymousId":"a","timestamp":"2026-05-20T10:00:00Z","properties":%s,"context":{"page":%s}}`, c.call, c.properties, c.context))
		agree(t, d, raw, genNow)
		if e, _ := outcome(t, d, raw, genNow); e.Page != hash([]byte(c.path)) || e.PageType != c.typ {
			t.Errorf("%s %s in %s: %x, a %s; want %s, a %s", c.call, c.properties, c.context, e.Page, PageTypes[e.PageType], c.path, PageTypes[c.typ])
		}
	}
}

// TestHashRoutes: shops that route by fragment had one page only.
func TestHashRoutes(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"https://shop.example/#/cart": "/cart", "https://shop.example/#!/cart?x=1": "/cart", "https://shop.example/app/#/cart/": "/cart",
		"https://shop.example/cart#top": "/cart", "https://shop.example/cart": "/cart", "https://shop.example/cart#": "/cart"} {
		for _, routes := range []bool{true, false} {
			cfg := testConfig()
			cfg.HashRoutes = routes
			d, err := NewDecoder(cfg)
			if err != nil {
				t.Fatal(err)
			}
			raw := []byte(fmt.Sprintf(`{"type":"page","anonymousId":"a","timestamp":"2026-05-20T10:00:00Z","properties":{"path":%q,"url":%q}}`, cleanPath(urlPath([]byte(address))), address))
			agree(t, d, raw, genNow)
			e, _ := outcome(t, d, raw, genNow)
			pages, err := NewPages(cfg.Pages, routes)
			if err != nil {
				t.Fatal(err)
			}
			typ := pages.Of(address, "")
			if routes && (e.Page != hash([]byte(want)) || e.PageType != PageCart || typ != PageCart) {
				t.Errorf("%s: %x, a %s; the request is of a %s", address, e.Page, PageTypes[e.PageType], PageTypes[typ])
			}
			if !routes && e.PageType != typ {
				t.Errorf("%s: a %s, and a %s as a request", address, PageTypes[e.PageType], PageTypes[typ])
			}
		}
	}
}
