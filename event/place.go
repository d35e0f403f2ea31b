package event

import "strings"

// place fills Page and PageType.
func (d *Decoder) place(r *record, m meaning, e *Event) {
	path := r.path()
	call := e.Kind == KindPage
	switch {
	case len(path) > 0:
		e.Page = hash(path)
	case call:
		// A screen of an app has a name and no path.
		if name := r.text(fName); len(name) > 0 {
			e.Page = hash(name)
		}
	case e.Kind == KindProductView:
		if id, ok := r.id(pProductID); ok && len(id) > 0 {
			e.Page = hash(id)
		} else if id, ok := r.id(pSKU); ok && len(id) > 0 {
			e.Page = hash(id)
		}
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

// path is the page's path without query, fragment and trailing slash.
func (r *record) path() []byte {
	if p := r.text(cPath); len(p) > 0 {
		return cleanPath(p)
	}
	if p := r.text(pPath); len(p) > 0 {
		return cleanPath(p)
	}
	if p := urlPath(r.text(cURL)); len(p) > 0 {
		return cleanPath(p)
	}
	return cleanPath(urlPath(r.text(pURL)))
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
