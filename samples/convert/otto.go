package convert

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

// otto reads the OTTO recommender systems data set: one session a line, with
// events of an article (aid), a time in ms and a type.
//
//	session  anonymousId "otto-<session>"; also context.sessionId
//	aid      properties.product_id
//	ts       timestamp (ms)
//	type     clicks → Product Viewed, carts → Product Added, orders → Order Completed
//
// The set has no prices, so carts and orders have no value. An order row is
// one article; rows of one order share order_id. messageId is the hash of
// session, aid, ts and type.
func otto(src io.Reader, _ Options, emit func(*Event) error) error {
	dec := json.NewDecoder(src)
	for line := 1; ; line++ {
		var s ottoSession
		if err := dec.Decode(&s); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading line %d: %w", line, err)
		}
		for _, a := range s.Events {
			e, err := s.event(a)
			if err != nil {
				return fmt.Errorf("reading line %d: %w", line, err)
			}
			if err := emit(e); err != nil {
				return err
			}
		}
	}
}

type ottoSession struct {
	Session int64       `json:"session"`
	Events  []ottoEvent `json:"events"`
}

type ottoEvent struct {
	Aid  int64  `json:"aid"`
	TS   int64  `json:"ts"`
	Type string `json:"type"`
}

func (s *ottoSession) event(a ottoEvent) (*Event, error) {
	session, aid, ts := strconv.FormatInt(s.Session, 10), strconv.FormatInt(a.Aid, 10), strconv.FormatInt(a.TS, 10)
	p := &Properties{ProductID: aid}
	e := &Event{Type: "track", AnonymousID: "otto-" + session, MessageID: contentID(session, aid, ts, a.Type), Timestamp: stamp(time.UnixMilli(a.TS)),
		Properties: p, Context: &Context{SessionID: session}}
	switch a.Type {
	case "clicks":
		e.Event, p.PageType = "Product Viewed", "product"
	case "carts":
		e.Event, p.Quantity = "Product Added", 1
	case "orders":
		e.Event, p.Quantity, p.OrderID = "Order Completed", 1, session+"-"+ts
	default:
		return nil, fmt.Errorf("type %q is not clicks, carts or orders", a.Type)
	}
	return e, nil
}
