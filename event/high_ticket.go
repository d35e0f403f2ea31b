package event

import "bytes"

// offered is a product of a list, as far as it says whether the list is dear.
type offered struct {
	category []byte
	price    float64
}

// maxOffered bounds the products that are looked at: a list shows its like first.
const maxOffered = 100

// highTicket reports whether the event is about an expensive product, or shows a
// list of them: a product in one of the categories, at or above the price; a list
// of which at least half of what has a price is that, or, where nothing has one,
// that is of one of the categories.
func (d *Decoder) highTicket(r *record, e *Event) bool {
	if len(d.cfg.HighTicketCategories) == 0 {
		return false
	}
	category := r.text(pCategory)
	switch {
	case e.Kind == KindListView:
		return d.dearList(r, category)
	case e.Kind == KindPage && e.PageType == PageList && !r.stated(pPrice):
		return d.dear(category) || d.dear(r.text(fCategory)) || d.dearPath(d.path(r, true))
	}
	if !d.dear(category) {
		return false
	}
	price, ok := r.amount(pPrice)
	return (ok || !r.stated(pPrice)) && price >= d.cfg.HighTicketMinPrice
}

func (d *Decoder) dearList(r *record, category []byte) bool {
	if !r.stated(pProducts) || len(r.products.offered) == 0 {
		return d.dear(category) || d.dearPath(d.path(r, false))
	}
	expensive := 0
	for _, o := range r.products.offered {
		if len(o.category) == 0 {
			o.category = category
		}
		if o.price >= d.cfg.HighTicketMinPrice && d.dear(o.category) {
			expensive++
		}
	}
	return expensive > 0 && 2*expensive >= len(r.products.offered)
}

// dear reports whether a category is, or is below, one of the expensive ones.
func (d *Decoder) dear(category []byte) bool {
	for _, p := range d.cfg.HighTicketCategories {
		if n := len(p); n > 0 && len(category) >= n && bytes.EqualFold(category[:n], []byte(p)) &&
			(len(category) == n || category[n] == '.' || category[n] == '/') {
			return true
		}
	}
	return false
}

// dearPath reports whether a list page's path names an expensive category:
// /category/computers/laptops.
func (d *Decoder) dearPath(path []byte) bool {
	for {
		i := bytes.IndexByte(path, '/')
		if i < 0 {
			return false
		}
		if path = path[i+1:]; d.dear(path) {
			return true
		}
	}
}
