package oracle

import (
	"slices"

	"github.com/microseg/microseg/event"
)

// view is a page view: a page or screen call, "Product Viewed" and the like, or
// one of each that came within ten seconds of each other and can be of one page.
type view struct {
	open, called, shown bool // shown: by an event that names the page otherwise than the call
	at                  int64
	keys                []uint64
	kind                event.PageType
}

// opens reports whether the event opens a view.
func (v *view) opens(e *event.Event) bool {
	call := e.Kind == event.KindPage
	if !call && !commerce(e.Kind) || !call && !v.open && e.Page == 0 && e.PageType == event.PageUnknown {
		return false
	}
	vague := func(t event.PageType) bool { return t == event.PageUnknown || t == event.PageOther }
	beside := v.open && e.Time-v.at <= 10_000 && (v.kind == e.PageType || vague(v.kind) || vague(e.PageType))
	joins := v.open && !call && (e.Page == 0 || slices.Contains(v.keys, e.Page))
	if call && !v.called && beside {
		joins, v.shown = true, v.shown || e.Page != 0 && v.keys[0] != 0 && !slices.Contains(v.keys, e.Page)
	}
	if !call && !joins && v.called && !v.shown && beside {
		joins, v.shown = true, true
	}
	if !joins {
		*v = view{open: true, called: call, at: e.Time, keys: []uint64{e.Page}, kind: e.PageType}
		return true
	}
	v.called = v.called || call
	if e.Page != 0 {
		v.keys = append(v.keys, e.Page)
	}
	if e.PageType != event.PageUnknown && vague(v.kind) {
		v.kind = e.PageType
	}
	return false
}
