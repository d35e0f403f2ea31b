package event

import "github.com/go-faster/jx"

// readProducts sums price times quantity over properties.products: a list, or an
// object of products by index or by id, or one product.
func (p *parser) readProducts(typ jx.Type) error {
	p.rec.products = products{warnings: p.rec.products.warnings[:0], offered: p.rec.products.offered[:0]}
	if typ == jx.Object {
		return p.productsByKey()
	}
	it, err := p.jd.ArrIter()
	if err != nil {
		return err
	}
	for it.Next() {
		if err := p.product(); err != nil {
			return err
		}
	}
	return it.Err()
}

// wrapped are the products in an object of one list: {"items": [{…}]}.
func wrapped(raw []byte) (list []byte) {
	eachMember(raw, func(key []byte, v *value) {
		if v.typ == jx.Array && (string(key) == "items" || string(key) == "products" || string(key) == "line_items") {
			list = v.b
		}
	})
	return list
}

// product reads one element. Null is nothing, which PHP and JavaScript leave behind
// where something was taken out; a text or a number, an id, is a product of unknown price.
func (p *parser) product() error {
	sum := &p.rec.products
	switch typ := p.jd.Next(); typ {
	case jx.Object:
		// The properties' own price, quantity and category step aside.
		price, quantity, category, set := p.rec.vals[pPrice], p.rec.vals[pQuantity], p.rec.vals[pCategory], p.rec.set
		p.rec.set &^= 1<<pPrice | 1<<pQuantity | 1<<pCategory
		if err := p.object(productField); err != nil {
			return err
		}
		sum.add(&p.rec)
		p.rec.vals[pPrice], p.rec.vals[pQuantity], p.rec.vals[pCategory], p.rec.set = price, quantity, category, set
		return nil
	case jx.Null:
		return p.jd.Skip()
	default:
		raw, err := p.jd.Raw()
		if err != nil {
			return err
		}
		if text, is := objectIn(typ, raw); is {
			whole := p.jd
			defer func() { p.jd = whole }()
			p.jd = jx.Decoder{}
			p.jd.ResetBytes(text)
			return p.product()
		}
		sum.unpriced = true
		if typ == jx.String || typ == jx.Number {
			sum.items++
		}
		sum.note(propertyNames[pProducts], Unreadable, &value{typ, raw})
		return nil
	}
}

// objectIn is the object whose JSON a text is.
func objectIn(typ jx.Type, raw []byte) ([]byte, bool) {
	if typ != jx.String || len(raw) < 2 || raw[1] != '{' {
		return nil, false
	}
	text, err := jx.DecodeBytes(raw).StrBytes()
	return text, err == nil && jx.DecodeBytes(text).Validate() == nil
}

// productsByKey reads an object: {"0": {…}, "1": {…}}, or a product itself.
func (p *parser) productsByKey() error {
	raw, err := p.jd.Raw()
	if err != nil {
		return err
	}
	whole := p.jd
	defer func() { p.jd = whole }()
	p.jd = jx.Decoder{}
	if list := wrapped(raw); list != nil {
		p.jd.ResetBytes(list)
		return p.readProducts(jx.Array)
	}
	if p.jd.ResetBytes(raw); !holdsObjects(raw) {
		if (&value{jx.Object, raw}).empty() {
			return nil
		}
		return p.product()
	}
	it, err := p.jd.ObjIter()
	if err != nil {
		return err
	}
	for it.Next() {
		if err := p.product(); err != nil {
			return err
		}
	}
	return it.Err()
}

// holdsObjects reports whether the members of an object are products. A price may be
// an object, too.
func holdsObjects(raw []byte) bool {
	objects, product := false, false
	eachMember(raw, func(key []byte, v *value) {
		objects = objects || v.typ == jx.Object
		product = product || productField(key) != fSkip || string(key) == "product_id" || string(key) == "sku" || string(key) == "name" || string(key) == "item_id"
	})
	return objects && !product
}

func (s *products) add(r *record) {
	price, why := r.notNegative(pPrice, "")
	if why != "" {
		s.note("products.price", why, &r.vals[pPrice])
	}
	if why == "" && r.stated(pPrice) {
		if len(s.offered) < maxOffered {
			s.offered = append(s.offered, offered{r.text(pCategory), price})
		}
	} else {
		s.unpriced = true
	}
	quantity, why := r.notNegative(pQuantity, "")
	if why != "" {
		s.note("products.quantity", why, &r.vals[pQuantity])
	}
	if why != "" || !r.stated(pQuantity) {
		quantity = 1
	}
	s.value += price * quantity
	s.items += quantity
}

// note keeps a warning for an event that is about its products.
func (s *products) note(property string, why Why, v *value) {
	for i := range s.warnings {
		if s.warnings[i].Property == property && s.warnings[i].Why == why {
			return
		}
	}
	if len(s.warnings) < maxWarnings {
		s.warnings = append(s.warnings, Warning{property, why, example(v)})
	}
}

// listed reports whether the event lists products.
func (r *record) listed() bool {
	if !r.stated(pProducts) {
		return false
	}
	v, p := &r.vals[pProducts], &r.products
	why := WrongType
	if v.container() {
		if why = OutOfRange; p.value <= maxMeasure && p.items <= maxMeasure {
			for _, w := range p.warnings {
				r.add(w)
			}
			return true
		}
	} else if len(v.b) == 0 {
		why = Empty
	}
	r.warn(pProducts, why, v)
	return false
}
