package collect

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/microseg/microseg/event"
)

// single reads a body that is one event.
func (q *request) single(typ string) error {
	if err := q.bounded(q.body); err != nil {
		return err
	}
	// The client learns at once of a body that is no JSON; in a batch it would
	// cost the other events.
	if err := strict(q.body); err != nil {
		return err
	}
	var key string
	members(q.body, func(k, v []byte) {
		if unquote(k) == "writeKey" {
			key = text(v)
		}
	})
	if err := q.authorise(key); err != nil {
		return err
	}
	q.add(q.body, q.body, typ, nil)
	return nil
}

// pixel reads an event from the data of the query, JSON or its base64: what an
// <img> in a mail or on a page without scripts asks for.
func (q *request) pixel() (err error) {
	typ := segmentTypes[q.r.PathValue("call")]
	if typ == "" {
		return &refusal{status: http.StatusNotFound, message: "there is no such call"}
	}
	if q.body, err = unwrapped(q.r.URL.Query().Get("data")); err != nil {
		return err
	}
	return q.single(typ)
}

// bounded refuses JSON that nests too deep to be read.
func (q *request) bounded(raw []byte) error {
	if _, depth := valueEnd(raw, 0); depth > maxDepth {
		return fmt.Errorf("the JSON nests deeper than %d levels", maxDepth)
	}
	return nil
}

// segmentBatch reads {"batch": [...], "sentAt", "context", "integrations", "writeKey"}.
func (q *request) segmentBatch() error {
	var batch []byte
	var key string
	ok := members(q.body, func(k, v []byte) {
		switch unquote(k) {
		case "batch":
			batch = v
		case "writeKey":
			key = text(v)
		case "sentAt":
			q.env.sentAt = scalar(v)
		case "context":
			q.env.context = q.common(v)
		case "integrations":
			q.env.integrations = q.common(v)
		}
	})
	if !ok {
		return errors.New("the body is not a JSON object")
	}
	if err := q.authorise(key); err != nil {
		return err
	}
	events, err := q.list(batch)
	if err != nil {
		return err
	}
	for _, raw := range events {
		q.add(raw, raw, "", q.bounded(raw))
	}
	return nil
}

// list is the elements of an array that is not too long.
func (q *request) list(array []byte) (events [][]byte, err error) {
	whole := elements(array, func(raw []byte, _ int) {
		if len(events) <= q.c.cfg.MaxBatchEvents {
			events = append(events, raw)
		}
	})
	switch {
	case !whole:
		return nil, errors.New("the batch is not a JSON array")
	case len(events) > q.c.cfg.MaxBatchEvents:
		return nil, &refusal{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("more than %d events in a batch", q.c.cfg.MaxBatchEvents)}
	}
	return events, q.sender.pay(len(events))
}

// common is what the batch says for all of its events: an object of JSON, or
// nothing, so that it cannot break them.
func (q *request) common(v []byte) []byte {
	if !isObject(v) || len(v) > event.Overhead/2 || q.bounded(v) != nil || strict(v) != nil {
		return nil
	}
	return v
}

// scalar is a value that is valid JSON and no container, or nothing.
func scalar(v []byte) []byte {
	if isObject(v) || v[0] == '[' || !json.Valid(v) {
		return nil
	}
	return v
}

// text is the string that a JSON value is, or "".
func text(v []byte) string {
	var s string
	if len(v) == 0 || v[0] != '"' || json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// add turns one event into a record, or into a refusal for the dead letters,
// or into nothing where the visitor does not want to be remembered. sent is
// what the client sent, raw the event in Segment's form, bad what was wrong
// with it already. typ is the type that the route gives; empty: the event's own.
func (q *request) add(sent, raw []byte, typ string, bad error) {
	q.events++
	if q.dropped {
		q.c.metrics.event(typ, "gpc")
		return
	}
	var value []byte
	var with string
	if bad == nil {
		value, with, bad = normalise(nil, raw, typ, &q.env)
	}
	if errors.Is(bad, errAdmin) { // a client that plays admin: nothing of it is kept
		sent = nil
	}
	if bad != nil {
		q.refuse(sent, event.Malformed, bad.Error(), "")
		return
	}
	var e event.Event
	outcome := "accepted"
	trust, err := q.decodeFrom(value, with, &e)
	var judged *event.Error
	if errors.As(err, &judged) {
		outcome = string(judged.Reason)
	}
	switch {
	case judged != nil && judged.Withheld():
		q.c.metrics.event(typ, outcome)
		return
	case len(sent) > q.c.cfg.MaxEventBytes || len(value) > q.c.cfg.MaxEventBytes+event.Overhead:
		q.refuse(value, event.Oversized, fmt.Sprintf("%d bytes, at most %d are allowed", len(sent), q.c.cfg.MaxEventBytes), e.Device)
		return
	case judged == nil && e.Flags&event.FlagBot != 0:
		outcome = "bot"
	}
	if judged == nil {
		q.c.metrics.warned(q.decoder.Warnings())
	}
	q.c.metrics.event(kindOf(typ, e.Kind), outcome)
	q.records = append(q.records, record(e.Device, value, trust))
}

// kindOf is a label: the route's type, or what the decoder made of the event.
func kindOf(typ string, k event.Kind) string {
	if typ != "" {
		return typ
	}
	return k.String()
}

// refuse writes what cannot be an event as a refusal, for the dead letters:
// in the form without key and address where it has one.
func (q *request) refuse(raw []byte, reason event.Reason, detail, device string) {
	q.c.metrics.event("other", string(reason))
	r := event.Rejected{Reason: reason, Detail: detail, AnonymousID: device, Raw: proofText.ReplaceAll(raw, []byte(`$1""`))}
	q.records = append(q.records, record(device, r.Append(nil, q.env.receivedAt), q.unproven()))
}
