package peers

import "bytes"

// classify gives the event its kind and its weight, those of microseg's shipped signals.
func (r *reader) classify() {
	e := &r.e
	e.page = pageOf(r.pageType)
	e.price, e.quantity, e.duration = within(r.price, 1e7), int64(within(r.quantity, 1e4)), int64(within(r.duration, 1e7))
	e.costly = r.price >= 500 && (under(r.category, "electronics") || under(r.category, "computers"))
	if string(r.typ) == "page" {
		e.kind, e.weight = page, 0.5
		return
	}
	if string(r.typ) != "track" {
		return
	}
	switch string(r.name) {
	case "Page Scrolled":
		if e.weight = 0.2; e.page == pageProduct && r.depth > 0.7 {
			e.weight += 0.8
		}
	case "Element Hovered":
		if e.kind = hover; r.duration > 500 {
			e.weight = 0.3
		}
	case "Product Viewed":
		e.kind, e.weight = productViewed, 2
	case "Product Added":
		e.kind, e.weight = productAdded, 15
	case "Product Removed":
		e.kind = productRemoved
	case "Order Completed":
		e.kind, e.weight = order, 4
	case "Checkout Started":
		e.weight = 6
	case "Cart Viewed":
		e.weight = 2
	case "Form Submitted":
		e.weight = 1.5
	case "Video Completed":
		e.weight = 1
	case "Element Clicked", "Video Started", "Form Started":
		e.weight = 0.5
	case "Page Pinged":
		e.weight = 0.05
	}
}

// within keeps a number where sums of many fit into integers in both languages.
func within(x, limit float64) float64 { return min(max(x, -limit), limit) }

func pageOf(t []byte) uint8 {
	switch string(t) {
	case "":
		return pageUnknown
	case "home":
		return pageHome
	case "content":
		return pageContent
	case "product":
		return pageProduct
	case "comparison":
		return pageComparison
	case "list", "search", "cart", "checkout", "confirmation":
		return pageNone
	}
	return pageOther
}

// under reports whether a category is name or below it.
func under(category []byte, name string) bool {
	rest, ok := bytes.CutPrefix(category, []byte(name))
	return ok && (len(rest) == 0 || rest[0] == '/')
}

// millis reads a time of the form 2026-01-01T00:00:00.000Z, that of browsers, and of no
// other.
func millis(b []byte) (int64, bool) {
	const form = "0000-00-00T00:00:00.000Z"
	if len(b) != len(form) {
		return 0, false
	}
	for i, f := range []byte(form) {
		if f == '0' && (b[i] < '0' || b[i] > '9') || f != '0' && b[i] != f {
			return 0, false
		}
	}
	n := func(from, to int) (v int64) {
		for _, c := range b[from:to] {
			v = v*10 + int64(c-'0')
		}
		return v
	}
	month, day := n(5, 7), n(8, 10)
	hour, minute, second := n(11, 13), n(14, 16), n(17, 19)
	if month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	return ((days(n(0, 4), month, day)*24+hour)*60+minute)*60_000 + second*1000 + n(20, 23), true
}

// days since 1970 of a day of the Gregorian calendar: a year begins in March here, so
// that the leap day is its last.
func days(year, month, day int64) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 719_469
}
