package event

import (
	"io"

	"github.com/go-faster/jx"
)

// field is one of the values of a record that decoding reads.
type field uint8

// The fields, in groups: a group is forgotten as a whole when its object
// appears again, because in JSON the last of equal keys counts.
const (
	fType field = iota
	fAnonymousID
	fUserID
	fPreviousID
	fMessageID
	fTimestamp
	fOriginal
	fSentAt
	fReceivedAt
	fEvent
	fName
	fCategory
	fReason // of a rejected record
	fDetail
	fRaw
	fProperties
	fContext

	pPageType // properties
	pPath
	pURL
	pName
	pCategory
	pProductID
	pSKU
	pPrice
	pCurrency
	pQuantity
	pValue
	pTotal
	pRevenue
	pSubtotal
	pProducts
	pElement
	pDuration
	pDepth
	pVelocity
	pHalf
	pSeconds
	pVisible
	pPosition
	pSession
	pAsset

	cUserAgent // context
	cDevice
	cDeviceType
	cModel
	cTouch
	cOS
	cOSName
	cScreen
	cWidth
	cHeight
	cNetwork
	cCellular
	cWifi
	cEffective
	cNetType
	cPage
	cPath
	cURL
	cHints
	cConsent
	cManagement
	cActive

	numFields
	fSkip   = numFields
	fList   = numFields + 1 // what other systems call products
	fWithin = numFields + 2 // an object whose members are those of the one around it
)

// group is the mask of the fields from first to last.
func group(first, last field) uint64 { return 1<<(last+1) - 1<<first }

// value is one JSON value: the decoded text of a string, the literal of a number,
// "true" or "false", or the text of an object or array that is read later, if at
// all. It aliases the record's bytes.
type value struct {
	typ jx.Type
	b   []byte
}

// products sums a properties.products list.
type products struct {
	value, items float64
	unpriced     bool // one of them has no price that could be read
	offered      []offered
	warnings     []Warning
}

// scalar reports whether the value can be an identifier.
func (v *value) scalar() bool { return v.typ == jx.String || v.typ == jx.Number }

// container reports whether the value is an object or a list.
func (v *value) container() bool { return v.typ == jx.Object || v.typ == jx.Array }

// record is a parsed record. vals[f] counts only where bit f of set is 1, so
// that a new record starts by clearing one word.
type record struct {
	set      uint64
	vals     [numFields]value
	products products
	warnings []Warning
}

// text is the string, or nil when it is missing, empty or not a string.
func (r *record) text(f field) []byte {
	if r.set>>f&1 == 0 || r.vals[f].typ != jx.String {
		return nil
	}
	return r.vals[f].b
}

// textOr is the text of f, else that of the object that f is in, where it is none: "device":
// "mobile", "network": "wifi".
func (r *record) textOr(f, whole field) []byte {
	if t := r.text(f); t != nil {
		return t
	}
	return r.text(whole)
}

// stated reports whether the field is there and not null.
func (r *record) stated(f field) bool {
	return r.set>>f&1 != 0 && r.vals[f].typ != jx.Null
}

// number is the value of a number or of a string that spells one.
func (r *record) number(f field) (float64, bool) {
	if r.set>>f&1 == 0 || r.vals[f].typ != jx.Number && r.vals[f].typ != jx.String {
		return 0, false
	}
	return parseNumber(r.vals[f].b)
}

// truth reports whether the field says true; libraries of languages without a type for
// it write "true" or 1.
func (r *record) truth(f field) bool {
	return r.stated(f) && r.vals[f].yes()
}

// parser fills records. The JSON is read once, left to right, and strictly
// (RFC 8259): unread values are skipped but checked.
type parser struct {
	jd  jx.Decoder
	rec record
}

// parse reads one record; what follows the object must be white space.
func (p *parser) parse(raw []byte) error {
	p.jd.ResetBytes(raw)
	p.rec.set, p.rec.warnings = 0, p.rec.warnings[:0]
	if err := p.object(topField); err != nil {
		return err
	}
	if err := p.jd.Skip(); err != io.EOF {
		return errTrailing
	}
	return nil
}

// object reads an object whose keys are the fields that of names.
func (p *parser) object(of func([]byte) field) error {
	it, err := p.jd.ObjIter()
	if err != nil {
		return err
	}
	for it.Next() {
		f := of(it.Key())
		switch f {
		case fSkip:
			err = p.jd.Skip()
		case fList, fWithin:
			err = p.foreign(f)
		default:
			err = p.field(f)
		}
		if err != nil {
			return err
		}
	}
	return it.Err()
}

// foreign reads members of other systems' payloads: items of Google Analytics and
// line_items of shops, which are products where they are a list and products are not
// stated, and what is wrapped in "ecommerce" or "product".
func (p *parser) foreign(f field) error {
	switch typ := p.jd.Next(); {
	case f == fWithin && typ == jx.Object:
		stated := p.rec // what is stated outside says more
		if err := p.object(ofProduct); err != nil {
			return err
		}
		for f := pCategory; f <= pProducts; f++ {
			if stated.stated(f) {
				p.rec.vals[f] = stated.vals[f]
			}
		}
		if stated.stated(pProducts) {
			p.rec.products = stated.products
		}
		return nil
	case f == fList && typ == jx.Array && !p.rec.stated(pProducts):
		return p.field(pProducts)
	}
	return p.jd.Skip()
}

// ofProduct names what a wrapped object says of products: nothing of the page, whose names
// a product has, too.
func ofProduct(key []byte) field {
	switch f := propertyField(key); {
	case f >= pCategory && f <= pProducts || f == fList:
		return f
	}
	return fSkip
}

// field reads the value of f, and what is in it where that is of interest.
func (p *parser) field(f field) error {
	p.rec.set |= 1 << f
	v := &p.rec.vals[f]
	var err error
	v.typ, v.b = p.jd.Next(), nil
	switch v.typ {
	case jx.String:
		if v.b, err = p.jd.StrBytes(); err == nil && f.nested() && len(v.b) > 0 && (v.b[0] == '{' || v.b[0] == '[' && f == pProducts) {
			return p.text(f)
		}
	case jx.Number, jx.Bool:
		var raw jx.Raw
		raw, err = p.jd.Raw()
		v.b = raw
	case jx.Object, jx.Array:
		switch {
		case f == pProducts:
			return p.readProducts(v.typ)
		case v.typ == jx.Object && f.container():
			return p.inner(f)
		case f.deferred():
			var raw jx.Raw
			raw, err = p.jd.Raw()
			v.b = raw
		default:
			err = p.jd.Skip()
		}
	default:
		err = p.jd.Skip()
	}
	if f.container() {
		p.rec.set &^= f.inside() // "context": null after a context
	}
	return err
}

// text reads an object or a list that is the JSON text of a string. Where it is none,
// the field is a text.
func (p *parser) text(f field) error {
	v := &p.rec.vals[f]
	whole, text := p.jd, v.b
	defer func() { p.jd = whole }()
	p.jd = jx.Decoder{}
	p.jd.ResetBytes(text)
	if err := p.jd.Validate(); err != nil {
		p.rec.set &^= f.inside()
		return nil
	}
	p.jd.ResetBytes(text)
	v.typ = p.jd.Next()
	if f == pProducts {
		return p.readProducts(v.typ)
	}
	return p.inner(f)
}

// inner reads an object that is the value of f.
func (p *parser) inner(f field) error {
	p.rec.set &^= f.inside()
	switch f {
	case fProperties:
		return p.object(propertyField)
	case fContext:
		return p.object(contextField)
	case cDevice:
		return p.object(deviceField)
	case cOS:
		return p.object(osField)
	case cScreen:
		return p.object(screenField)
	case cNetwork:
		return p.object(networkField)
	}
	return p.object(contextPageField)
}
