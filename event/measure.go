package event

import (
	"bytes"
	"math"
)

// measure fills X, Y, Z, Item, Element and the flags. What cannot be read is left out,
// which is a warning where the event's kind is about it; elsewhere it is ignored.
func (d *Decoder) measure(r *record, e *Event) {
	e.Element = d.elements[string(r.text(pElement))]
	e.Item = r.product()
	if d.highTicket(r, e) {
		e.Flags |= FlagHighTicket
	}
	switch e.Kind {
	case KindPing:
		e.X, _ = r.amount(pSeconds)
		if r.truth(pVisible) {
			e.Flags |= FlagVisible
		}
	case KindScroll:
		r.scroll(e)
	case KindHover, KindFocus:
		e.X, _ = r.amount(pDuration)
	case KindVideoStart, KindVideoPause, KindVideoComplete:
		r.video(e)
	case KindProductView:
		e.X, _ = r.amount(pPrice)
	case KindCartAdd, KindCartRemove:
		r.change(e)
	case KindCartView, KindCheckout:
		r.cart(e)
	case KindOrder, KindRefund:
		r.order(e)
	}
}

// product is the hash of the product's id, 0 when not stated.
func (r *record) product() uint64 {
	for _, f := range [...]field{pProductID, pSKU} {
		if id, ok := r.id(f); ok && len(id) > 0 {
			return hash(id)
		}
	}
	return 0
}

// scroll reads a depth from 0 to 1, or in percent above that. Browsers that
// bounce report a little less than 0, and scrolling up a negative velocity.
func (r *record) scroll(e *Event) {
	depth, percent := r.vals[pDepth].b, false
	if r.text(pDepth) != nil {
		if r.vals[pDepth].b, percent = bytes.CutSuffix(depth, []byte("%")); percent {
			r.vals[pDepth].b = bytes.TrimSpace(r.vals[pDepth].b)
		}
	}
	e.X, _ = r.signed(pDepth)
	if e.X > 1 || percent {
		e.X /= 100
	}
	e.X = math.Abs(min(1, max(0, e.X)))
	e.Y, _ = r.signed(pVelocity)
	e.Y = math.Abs(e.Y)
	e.Z, _ = r.amount(pHalf)
}

// change reads what is put into a cart or taken out. Several products at once may be
// listed, where the event states none of its own.
func (r *record) change(e *Event) {
	if !r.stated(pPrice) && !r.stated(pQuantity) && e.Item == 0 && r.listed() && r.products.items > 0 {
		if e.Y = r.products.items; !r.products.unpriced {
			e.X = r.products.value / e.Y
			e.Flags |= FlagPriced
		}
		return
	}
	var ok bool
	if e.X, ok = r.amount(pPrice); ok {
		e.Flags |= FlagPriced
	}
	if e.Y, ok = r.signed(pQuantity); !ok {
		e.Y = 1
	}
}

// cart reads the value of a cart and the number of items in it.
func (r *record) cart(e *Event) {
	listed := r.listed()
	if listed {
		e.X, e.Y = r.products.value, r.products.items
		if e.Flags |= FlagCart; !r.products.unpriced {
			e.Flags |= FlagPriced
		}
	}
	of := [...]field{pValue, pRevenue, pTotal, pSubtotal}
	for i, f := range of {
		if i > 0 && listed {
			return // its sum is nearer to a cart than what an order is made of
		}
		if v, ok := r.amount(f); ok {
			e.X = v
			e.Flags |= FlagPriced
			return
		}
	}
}

// order reads the value of an order: the first of total, revenue, value and subtotal
// that can be read, else the sum of its products. What is given back may be stated
// below zero.
func (r *record) order(e *Event) {
	read := r.amount
	if e.Kind == KindRefund {
		read = func(f field) (float64, bool) {
			v, ok := r.signed(f)
			return math.Abs(v), ok
		}
	}
	for _, f := range [...]field{pTotal, pRevenue, pValue, pSubtotal} {
		if v, ok := read(f); ok {
			e.X = v
			return
		}
	}
	if r.listed() {
		e.X = r.products.value
	}
}
