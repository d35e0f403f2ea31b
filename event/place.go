package event

import (
	"bytes"
	"strings"
)

// place fills Page and PageType.
func (d *Decoder) place(r *record, m meaning, e *Event) {
	call := e.Kind == KindPage
	path := d.path(r, call)
	switch {
	case len(path) > 0:
		e.Page = hash(path)
	case call:
		// A screen of an app has a name and no path.
		if name := r.text(fName); len(name) > 0 {
			e.Page = hash(name)
		} else if name := r.text(pName); len(name) > 0 {
			e.Page = hash(name)
		}
	case e.Kind == KindProductView:
		e.Page = r.product()
	}
	if e.PageType = pageTypeOf(r.text(pPageType)); e.PageType != PageUnknown {
		return
	}
	if e.PageType = d.ruled(r, path, call); e.PageType != PageUnknown {
		return
	}
	if e.PageType = m.page; e.PageType == PageUnknown && call {
		e.PageType = PageOther
	}
	if !call && len(path) == 0 && strings.HasPrefix(e.Device, userDevice) {
		e.Page, e.PageType = 0, PageUnknown // a server that speaks of a user sees no page
	}
}

// path is the page's path without query, fragment and trailing slash. A page call's
// own properties say more than the automatic context: single-page shops and sandboxes
// (Shopify's pixels) state there what the address bar does not. Of other events the
// properties are about something else, such as the product that was clicked.
func (d *Decoder) path(r *record, call bool) []byte {
	own, context := [2]field{pPath, pURL}, [2]field{cPath, cURL}
	if !call {
		own, context = context, own
	}
	if p := d.pathOf(r, own); len(p) > 0 {
		return p
	}
	return d.pathOf(r, context)
}

// pathOf is the path that a path and a URL state.
func (d *Decoder) pathOf(r *record, f [2]field) []byte {
	path, url := bytes.TrimSpace(r.text(f[0])), bytes.TrimSpace(r.text(f[1]))
	if f[1] == cURL && len(url) == 0 {
		url = r.text(cPage) // "page": "/cart"
	}
	if d.cfg.HashRoutes {
		for _, address := range [...][]byte{path, url} {
			if route := hashRoute(address); len(route) > 0 {
				return route
			}
		}
	}
	if schemeEnd(path) > 0 {
		path = urlPath(path) // a whole URL where a path belongs
	}
	if len(path) == 0 {
		if bytes.HasPrefix(url, []byte("//")) {
			url = append([]byte("https:"), url...) // in an address they are a host's
		}
		path = urlPath(url)
	}
	return oneSpelling(cleanPath(path))
}

// ruled is the type of the first rule that matches. Names count on page and
// screen calls only: a product's name is no page's.
func (d *Decoder) ruled(r *record, path []byte, call bool) PageType {
	for i := range d.pages {
		p := &d.pages[i]
		if p.path != nil && (len(path) == 0 || !p.path.match(path)) {
			continue
		}
		if p.name != "" && !(call && r.named(p.name)) {
			continue
		}
		return p.typ
	}
	return PageUnknown
}

func (r *record) named(name string) bool {
	return string(r.text(fName)) == name || string(r.text(fCategory)) == name ||
		string(r.text(pName)) == name || string(r.text(pCategory)) == name
}
