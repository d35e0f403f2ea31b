package web_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/web"
	"github.com/microseg/microseg/web/bundle"
)

// Sizes of the scripts in bytes, compressed.
const maxScript, maxLink = 8 << 10, 9 << 8

// TestScript: what is served is made from the modules as they are, and small.
func TestScript(t *testing.T) {
	t.Parallel()
	for file, most := range map[string]int{"microseg.js": maxScript, "link.js": maxLink} {
		want, err := bundle.Build(map[string]string{"microseg.js": "src/main.js", "link.js": "src/link.js"}[file])
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s is not made from web/src as it is now: run `go generate ./web`", file)
		}
		if n := packed(t, have); n > most {
			t.Errorf("%s has %d bytes when compressed, more than %d", file, n, most)
		}
	}
}

func packed(t *testing.T, content []byte) int {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}

// TestServed: what is there, with which type and policy, and that an ETag
// spares the second transfer.
func TestServed(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	web.Register(mux)
	get := func(path, etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("If-None-Match", etag)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	for path, typ := range map[string]string{
		"/": "text/html", "/category/laptops": "text/html", "/product/aero-14": "text/html", "/compare?ids=a": "text/html", "/compare/": "text/html", "/cart": "text/html",
		"/cart/": "text/html", "/checkout/": "text/html", "/order/1": "text/html", "/blog/buying-a-laptop": "text/html", "/microseg.js": "text/javascript", "/link.js": "text/javascript", "/shop/shop.js": "text/javascript",
		"/shop/shop.css": "text/css", "/shop/images/laptops.svg": "image/svg+xml", "/shop/tour.webm": "video/webm",
	} {
		w := get(path, "")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), typ) || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s, %d bytes; want 200 %s", path, w.Code, w.Header().Get("Content-Type"), w.Body.Len(), typ)
		}
		if html := typ == "text/html"; html != (w.Header().Get("Content-Security-Policy") == web.Policy) {
			t.Errorf("%s: policy %q", path, w.Header().Get("Content-Security-Policy"))
		}
		if again := get(path, w.Header().Get("ETag")); again.Code != http.StatusNotModified {
			t.Errorf("%s with its ETag: %d, want 304", path, again.Code)
		}
	}
	for path, code := range map[string]int{"/shop/": 302, "/shop/layout.html": 404, "/shop/home.html": 404, "/shop/absent.js": 404, "/absent": 404} {
		if w := get(path, ""); w.Code != code {
			t.Errorf("%s: %d, want %d", path, w.Code, code)
		}
	}
}

// TestPageTypes: the shipped configuration knows the shop's pages by their URLs.
func TestPageTypes(t *testing.T) {
	t.Parallel()
	dec, err := event.NewDecoder(config.Demo().EventConfig())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]event.PageType{
		"/": event.PageHome, "/category/laptops": event.PageList, "/product/aero-14": event.PageProduct, "/compare": event.PageComparison, "/cart": event.PageCart,
		"/checkout/": event.PageCheckout, "/order/12": event.PageConfirmation, "/blog/buying-a-laptop": event.PageContent,
	} {
		var e event.Event
		raw := fmt.Sprintf(`{"type":"page","anonymousId":"a","messageId":"m","timestamp":"2026-01-01T00:00:00Z","context":{"page":{"path":%q}}}`, path)
		if err := dec.Decode([]byte(raw), event.Unstated, 0, &e); err != nil || e.PageType != want {
			t.Errorf("%s: page type %s (%v), want %s", path, event.PageTypes[e.PageType], err, event.PageTypes[want])
		}
	}
}
