package peers

import (
	"errors"

	"github.com/go-faster/jx"
)

// kind is what an event does beside its weight.
type kind uint8

const (
	other kind = iota
	page
	hover
	productViewed
	productAdded
	productRemoved
	order
)

// Page types that conditions ask for; unknown is that of a visitor without a page.
const (
	pageUnknown uint8 = iota
	pageHome
	pageContent
	pageOther
	pageProduct
	pageComparison
	pageNone // a page that no condition asks for
)

// Elements, devices and networks that conditions ask for.
const (
	elementPrice    uint8 = 1
	elementFeatures uint8 = 2
	deviceMobile    uint8 = 1
	deviceElse      uint8 = 2
	network3G       uint8 = 1
	networkElse     uint8 = 2
)

// event is what the kernel reads of a record.
type event struct {
	visitor  []byte // valid until the next read
	at       int64  // ms
	weight   float64
	price    float64
	quantity int64
	duration int64 // ms, of a hover
	kind     kind
	page     uint8
	element  uint8
	device   uint8
	network  uint8
	costly   bool // of electronics or computers, and 500 or more
}

// errNoEvent is of records without what an event must have.
var errNoEvent = errors.New("no event with anonymousId, type and timestamp")

// reader reads events; it keeps its memory between them.
type reader struct {
	d        jx.Decoder
	e        event
	visitor  []byte
	name     []byte
	typ      []byte
	pageType []byte
	category []byte
	stamp    []byte
	text     []byte
	depth    float64
	price    float64
	quantity float64
	duration float64
}

// read reads one record's value. Of members that come twice the last counts, and a
// member of another type than expected is as one that is missing. The event is valid
// until the next call.
func (r *reader) read(value []byte) (*event, error) {
	r.d.ResetBytes(value)
	r.e = event{}
	r.visitor, r.name, r.typ, r.stamp = r.visitor[:0], r.name[:0], r.typ[:0], r.stamp[:0]
	r.pageType, r.category = r.pageType[:0], r.category[:0]
	r.depth, r.price, r.quantity, r.duration = 0, 0, 1, 0
	if r.d.Next() != jx.Object {
		return nil, errNoEvent
	}
	if err := r.d.ObjBytes(r.member); err != nil {
		return nil, err
	}
	at, ok := millis(r.stamp)
	if len(r.visitor) == 0 || len(r.typ) == 0 || !ok || at <= 0 {
		return nil, errNoEvent
	}
	r.e.visitor, r.e.at = r.visitor, at
	r.classify()
	return &r.e, nil
}

func (r *reader) member(d *jx.Decoder, key []byte) error {
	switch string(key) {
	case "type":
		return text(d, &r.typ)
	case "event":
		return text(d, &r.name)
	case "anonymousId":
		return text(d, &r.visitor)
	case "timestamp":
		return text(d, &r.stamp)
	case "properties":
		return object(d, r.property)
	case "context":
		return object(d, r.context)
	}
	return d.Skip()
}

func (r *reader) property(d *jx.Decoder, key []byte) error {
	switch string(key) {
	case "page_type":
		return text(d, &r.pageType)
	case "category":
		return text(d, &r.category)
	case "depth":
		return number(d, &r.depth)
	case "price":
		return number(d, &r.price)
	case "quantity":
		return number(d, &r.quantity)
	case "duration_ms":
		return number(d, &r.duration)
	case "element":
		return r.oneOf(d, &r.e.element, "price", elementPrice, "features", elementFeatures, 0)
	}
	return d.Skip()
}

func (r *reader) context(d *jx.Decoder, key []byte) error {
	switch string(key) {
	case "device":
		return object(d, func(d *jx.Decoder, key []byte) error {
			if string(key) == "type" {
				return r.oneOf(d, &r.e.device, "mobile", deviceMobile, "", 0, deviceElse)
			}
			return d.Skip()
		})
	case "network":
		return object(d, func(d *jx.Decoder, key []byte) error {
			if string(key) == "effectiveType" {
				return r.oneOf(d, &r.e.network, "3g", network3G, "", 0, networkElse)
			}
			return d.Skip()
		})
	}
	return d.Skip()
}

func text(d *jx.Decoder, to *[]byte) (err error) {
	if d.Next() != jx.String {
		return d.Skip()
	}
	*to, err = d.StrAppend((*to)[:0])
	return err
}

func number(d *jx.Decoder, to *float64) (err error) {
	if d.Next() != jx.Number {
		return d.Skip()
	}
	*to, err = d.Float64()
	return err
}

func object(d *jx.Decoder, f func(*jx.Decoder, []byte) error) error {
	if d.Next() != jx.Object {
		return d.Skip()
	}
	return d.ObjBytes(f)
}

// oneOf reads a text that is one of two, or any other.
func (r *reader) oneOf(d *jx.Decoder, to *uint8, a string, isA uint8, b string, isB, isElse uint8) error {
	r.text = r.text[:0]
	if err := text(d, &r.text); err != nil {
		return err
	}
	switch string(r.text) {
	case "":
	case a:
		*to = isA
	case b:
		*to = isB
	default:
		*to = isElse
	}
	return nil
}
