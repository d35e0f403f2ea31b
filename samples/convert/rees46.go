package convert

import (
	"encoding/json"
	"fmt"
	"io"
)

// rees46 reads REES46's "eCommerce behavior data from multi category store":
//
//	event_time               timestamp (UTC, whole seconds)
//	event_type               view → Product Viewed, cart → Product Added,
//	                         remove_from_cart → Product Removed,
//	                         purchase → Order Completed
//	product_id, brand, price properties of the same name; the shop's pages are
//	                         /product/<id> and, for purchases, /order/<id>
//	category_code            properties.category
//	user_id                  anonymousId (user_session with Device "session")
//	user_session             context.sessionId: the tracker's session, which
//	                         is not a session by inactivity
//
// Prices are in US dollars, as the publisher says. A purchase row is one item,
// so an Order Completed carries that item's price as its total. messageId is
// the hash of the whole row.
func rees46(src io.Reader, o Options, emit func(*Event) error) error {
	t, err := newTable(src, "event_time", "event_type", "product_id", "category_code", "brand", "price", "user_id", "user_session")
	if err != nil {
		return err
	}
	for {
		ok, err := t.next()
		if !ok {
			return err
		}
		e, err := shopEvent(t, o)
		if err != nil {
			return err
		}
		if err := emit(e); err != nil {
			return err
		}
	}
}

func shopEvent(t *table, o Options) (*Event, error) {
	at, err := t.time("event_time", "2006-01-02 15:04:05 UTC")
	if err != nil {
		return nil, err
	}
	price := json.Number(t.get("price"))
	p := &Properties{ProductID: t.get("product_id"), Category: t.get("category_code"), Brand: t.get("brand"), Price: price, Currency: "USD"}
	e := &Event{Type: "track", AnonymousID: t.get("user_id"), MessageID: contentID(t.row...), Timestamp: stamp(at), Properties: p,
		Context: &Context{SessionID: t.get("user_session"), Page: &Page{Path: "/product/" + p.ProductID}}}
	if o.Device == "session" {
		e.AnonymousID = t.get("user_session")
	}
	switch typ := t.get("event_type"); typ {
	case "view":
		e.Event, p.PageType = "Product Viewed", "product"
	case "cart":
		e.Event, p.PageType, p.Quantity = "Product Added", "product", 1
	case "remove_from_cart":
		e.Event, p.Quantity = "Product Removed", 1
	case "purchase":
		e.Event, p.PageType, p.Quantity, p.Total = "Order Completed", "confirmation", 1, price
		e.Context.Page.Path = "/order/" + p.ProductID
	default:
		return nil, fmt.Errorf("reading row %d: event_type %q is not view, cart, remove_from_cart or purchase", t.line, typ)
	}
	return e, nil
}
