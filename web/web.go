// Package web holds what a page gets: the script microseg.js, and a small demo
// shop that uses it like any other site would.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:generate go run ./bundle/write src/main.js microseg.js
//go:generate go run ./bundle/write src/link.js link.js

//go:embed microseg.js
var script []byte

//go:embed link.js
var link []byte

//go:embed shop
var files embed.FS

// Shop is the demo shop's files: the pages' templates (*.html, to be put into
// layout.html) and what they load.
func Shop() fs.FS {
	sub, err := fs.Sub(files, "shop")
	if err != nil {
		panic(fmt.Sprintf("web: the embedded shop: %v", err)) // the name is a constant
	}
	return sub
}

// Policy is the content security policy of the shop's pages: no script, style
// or connection but the shop's own, and no HTML from text except through the
// script's own policy of Trusted Types.
const Policy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self'; " +
	"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types microseg"

// pages are the shop's URLs, as the shipped configuration's page rules know
// them, and their files.
var pages = map[string]string{
	"GET /{$}":                 "home.html",
	"GET /category/{name}":     "category.html",
	"GET /product/{id}":        "product.html",
	"GET /compare":             "compare.html",
	"GET /compare/{$}":         "compare.html",
	"GET /cart":                "cart.html",
	"GET /cart/{$}":            "cart.html",
	"GET /checkout/{$}":        "checkout.html",
	"GET /order/{id}":          "order.html",
	"GET /blog/{name}":         "blog.html",
	"GET /shop/{file}":         "",
	"GET /shop/images/{image}": "",
}

// RegisterScript adds GET /microseg.js and /link.js alone, for nodes whose pages
// are elsewhere.
func RegisterScript(mux *http.ServeMux) {
	const cache = "public, max-age=300, stale-while-revalidate=86400"
	mux.Handle("GET /microseg.js", asset("microseg.js", script, cache))
	mux.Handle("GET /link.js", asset("link.js", link, cache))
}

// Register adds what RegisterScript does, the shop's pages at the root, and what they
// load below /shop/. Everything has an ETag and is revalidated after a while,
// pages at once.
func Register(mux *http.ServeMux) {
	RegisterScript(mux)
	shop := shopFiles()
	for pattern, file := range pages {
		if file != "" {
			mux.Handle(pattern, shop[file])
			continue
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if h, ok := shop[r.URL.Path]; ok {
				h.ServeHTTP(w, r)
				return
			}
			http.NotFound(w, r)
		})
	}
	mux.Handle("GET /shop/{$}", http.RedirectHandler("/", http.StatusFound))
}

const layout = "layout.html"

// page puts a page's parts into the layout.
func page(shop fs.FS, name string) []byte {
	var b bytes.Buffer
	if err := template.Must(template.ParseFS(shop, layout, name)).Execute(&b, nil); err != nil {
		panic(fmt.Sprintf("web: the embedded page %s: %v", name, err))
	}
	return b.Bytes()
}

// shopFiles are the handlers of the shop's pages by their file, and of what
// they load by its path, /shop/….
func shopFiles() map[string]http.Handler {
	out := map[string]http.Handler{}
	shop := Shop()
	err := fs.WalkDir(shop, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if path.Ext(name) == ".html" {
			if name != layout {
				out[name] = asset(name, page(shop, name), "no-cache")
			}
			return nil
		}
		b, err := fs.ReadFile(shop, name)
		out["/shop/"+name] = asset(name, b, "public, max-age=300")
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("web: reading the embedded shop: %v", err))
	}
	return out
}

// types are stated, so that they do not depend on the machine's own table.
var types = map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".webm": "video/webm"}

// asset serves content with its ETag; http.ServeContent does conditional and
// range requests.
func asset(name string, content []byte, cache string) http.Handler {
	sum := sha256.Sum256(content)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	typ := types[path.Ext(name)]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", typ)
		h.Set("ETag", etag)
		h.Set("Cache-Control", cache)
		h.Set("X-Content-Type-Options", "nosniff")
		if strings.HasPrefix(typ, "text/html") {
			h.Set("Content-Security-Policy", Policy)
			h.Set("Referrer-Policy", "same-origin")
		} else {
			// Sites on other origins load the script.
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}
