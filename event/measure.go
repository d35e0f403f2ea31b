package event

import "math"

// measure fills X, Y, Z, Item, Element and the flags. Measurements that the
// event's kind is about must be numbers (or spell one) from 0 to 1e12;
// elsewhere what makes no sense is ignored.
func (d *Decoder) measure(r *record, e *Event) error {
	e.Element = d.elements[string(r.text(pElement))]
	if id, ok := r.id(pProductID); ok && len(id) > 0 {
		e.Item = hash(id)
	} else if id, ok := r.id(pSKU); ok && len(id) > 0 {
		e.Item = hash(id)
	}
	if d.highTicket(r) {
		e.Flags |= FlagHighTicket
	}
	ok := true
	switch e.Kind {
	case KindPing:
		e.X, ok = r.measure(pSeconds)
		if r.truth(pVisible) {
			e.Flags |= FlagVisible
		}
	case KindScroll:
		ok = r.scroll(e)
	case KindHover, KindFocus:
		e.X, ok = r.measure(pDuration)
	case KindVideoStart, KindVideoPause, KindVideoComplete:
		e.X, ok = r.measure(pPosition)
		if id, ok := r.id(pSession); ok && len(id) > 0 {
			e.Item = hash(id)
		}
		if content[string(r.text(fEvent))] {
			e.Flags |= FlagContent
		}
	case KindProductView:
		e.X, ok = r.measure(pPrice)
	case KindCartAdd, KindCartRemove:
		ok = r.change(e)
	case KindCartView, KindCheckout:
		ok = r.cart(e)
	case KindOrder, KindRefund:
		ok = r.order(e)
	}
	if !ok || e.X > maxMeasure || e.Y > maxMeasure {
		return malformed("a measurement of " + e.Kind.String() + " is not a number from 0 to 1e12")
	}
	return nil
}

// measure is a number from 0 to 1e12, 0 when not stated.
func (r *record) measure(f field) (float64, bool) {
	if !r.stated(f) {
		return 0, true
	}
	v, ok := r.number(f)
	if !ok || v < 0 || v > maxMeasure {
		return 0, false
	}
	return math.Abs(v), true // no negative zero
}

// scroll reads a depth from 0 to 1, or in percent above that. Browsers that
// bounce report a little less than 0, and scrolling up a negative velocity.
func (r *record) scroll(e *Event) (ok bool) {
	if r.stated(pDepth) {
		if e.X, ok = r.number(pDepth); !ok {
			return false
		}
		if e.X > 1 {
			e.X /= 100
		}
		e.X = math.Abs(min(1, max(0, e.X)))
	}
	if r.stated(pVelocity) {
		if e.Y, ok = r.number(pVelocity); !ok {
			return false
		}
		e.Y = math.Abs(e.Y)
	}
	e.Z, ok = r.measure(pHalf)
	return ok
}

// change reads what is put into a cart or taken out.
func (r *record) change(e *Event) (ok bool) {
	if e.X, ok = r.measure(pPrice); !ok {
		return false
	}
	if r.stated(pPrice) {
		e.Flags |= FlagPriced
	}
	if e.Y = 1; r.stated(pQuantity) {
		e.Y, ok = r.number(pQuantity)
	}
	return ok && math.Abs(e.Y) <= maxMeasure
}

// cart reads the value of a cart and the number of items in it.
func (r *record) cart(e *Event) bool {
	if r.stated(pProducts) {
		if !r.productsOK() {
			return false
		}
		e.X, e.Y = r.products.value, r.products.items
		if e.Flags |= FlagCart; !r.products.unpriced {
			e.Flags |= FlagPriced
		}
	}
	if !r.stated(pValue) {
		return true
	}
	var ok bool
	e.X, ok = r.measure(pValue)
	e.Flags |= FlagPriced
	return ok
}

// order reads the value of an order: the first of total, revenue and value
// that is stated, else the sum of its products.
func (r *record) order(e *Event) (ok bool) {
	for _, f := range [...]field{pTotal, pRevenue, pValue} {
		if r.stated(f) {
			e.X, ok = r.measure(f)
			return ok
		}
	}
	if !r.stated(pProducts) {
		return true
	}
	e.X = r.products.value
	return r.productsOK()
}

// highTicket reports whether the product is in an expensive category and at
// or above its price.
func (d *Decoder) highTicket(r *record) bool {
	if len(d.cfg.HighTicketCategories) == 0 {
		return false
	}
	category := r.text(pCategory)
	if len(category) == 0 {
		return false
	}
	price, ok := r.measure(pPrice)
	if !ok || price < d.cfg.HighTicketMinPrice {
		return false
	}
	for _, p := range d.cfg.HighTicketCategories {
		if n := len(p); n > 0 && len(category) >= n && string(category[:n]) == p &&
			(len(category) == n || category[n] == '.' || category[n] == '/') {
			return true
		}
	}
	return false
}
