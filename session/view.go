package session

import "github.com/microseg/microseg/event"

// together is how long (ms) after a view was opened the other event of the same
// view may come: a shop that sends a page or screen call and "Product Viewed"
// views one page, in whichever order and under whichever keys they come.
const together = 10_000

// page opens a page view when the event is one, and takes what the event says of its page.
func (f *Fold) page(e *item) {
	f.turn(e)
	if f.cur >= 0 && (e.Page != 0 || e.PageType != event.PageUnknown) {
		f.Paged = e.Time
	}
}

func (f *Fold) turn(e *item) {
	switch e.Kind {
	case event.KindPage:
		if f.cur >= 0 && !f.called && f.near(e) {
			f.call(e)
		} else {
			f.view(e)
		}
		f.called = true
		f.ticket(e)
	case event.KindProductView, event.KindListView, event.KindCartView, event.KindCheckout, event.KindOrder:
		if f.cur < 0 && e.Page == 0 && e.PageType == event.PageUnknown {
			return // a server sees no page
		}
		if !f.shown(e) {
			f.view(e)
		}
		f.improve(e)
		f.ticket(e)
	}
}

// ticket notes whether the current page shows what is expensive, a product or a
// list of products: once it did, it does.
func (f *Fold) ticket(e *item) {
	pg := &f.pages[f.cur]
	pg.highTicket = pg.highTicket || e.Flags&event.FlagHighTicket != 0
}

// near reports whether the event may be of the view that was opened last.
func (f *Fold) near(e *item) bool {
	kind := f.pages[f.cur].kind
	return e.Time-f.viewed <= together && (kind == e.PageType || vague(kind) || vague(e.PageType))
}

func vague(t event.PageType) bool { return t == event.PageUnknown || t == event.PageOther }

// call joins the page call to the view that "Product Viewed" has opened.
func (f *Fold) call(e *item) {
	pg := &f.pages[f.cur]
	if e.Page != 0 && e.Page != pg.key {
		if f.find(e.Page) >= 0 {
			f.twins++
		}
		pg.other, pg.key = pg.key, e.Page
	}
	f.improve(e)
}

// shown reports whether what the event is about is shown on the current page.
func (f *Fold) shown(e *item) bool {
	if f.cur < 0 {
		return false
	}
	pg := &f.pages[f.cur]
	if e.Page == 0 || pg.key == e.Page || pg.other == e.Page {
		return true
	}
	if f.called && pg.other == 0 && f.near(e) {
		pg.other = e.Page
		return true
	}
	return false
}

// improve takes the page's type where it was not known.
func (f *Fold) improve(e *item) {
	if pg := &f.pages[f.cur]; e.PageType != event.PageUnknown && vague(pg.kind) {
		pg.kind = e.PageType
	}
}

// view opens a page view.
func (f *Fold) view(e *item) {
	f.PageViews++
	f.leave()
	if len(f.Path) < maxPath {
		f.Path = append(f.Path, byte(e.PageType))
	}
	f.called, f.viewed = false, e.Time
	f.cur = f.find(e.Page)
	if f.cur < 0 || e.Page == 0 {
		if len(f.pages) == maxPages { // before it grows beyond
			f.pages = append(f.pages[:0], f.pages[1:]...)
			f.evicted++
		}
		f.pages = append(f.pages, page{key: e.Page, kind: e.PageType})
		f.cur = len(f.pages) - 1
	}
	f.pages[f.cur].other = 0
}

// find is the index of the newest page with the key, -1 without one.
func (f *Fold) find(key uint64) int {
	for i := len(f.pages) - 1; i >= 0; i-- {
		if f.pages[i].key == key {
			return i
		}
	}
	return -1
}

// at is the page that e measures: its own if it names one that is known (another tab), else the current one.
func (f *Fold) at(e *item) *page {
	if e.Page != 0 && f.cur >= 0 && f.pages[f.cur].key != e.Page {
		if i := f.find(e.Page); i >= 0 {
			return &f.pages[i]
		}
	}
	if f.cur < 0 {
		return nil
	}
	return &f.pages[f.cur]
}
