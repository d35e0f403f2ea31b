package collect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-faster/jx"
	"github.com/google/uuid"
	"github.com/microseg/microseg/event"
)

// envelope is what a request says beside its events.
type envelope struct {
	sentAt       []byte // JSON; nil: not stated
	context      []byte // a JSON object that the events' own contexts go over; nil: none
	integrations []byte // likewise
	receivedAt   string // RFC 3339
	userAgent    string // of the visitor; "": not known
	retried      bool   // the request says that it was sent before
}

// call is one event as it is rewritten: the members that the collector
// touches, raw, and all others as they were sent.
type call struct {
	typ, anonymous, user, message  []byte
	timestamp, original, sentAt    []byte
	context, properties, libraries []byte
	rest                           []byte // `,"key":value` …
}

var (
	errNotObject = errors.New("the event is not a JSON object")
	// What only the site's own endpoints write, and what only the collector does. Of the
	// former nothing is kept.
	errAdmin    = errors.New("its type is reserved for the site's own servers")
	errReserved = errors.New("its type is reserved")
)

// reserved refuses types that are ours: none of them reaches the log from outside.
func reserved(typ string) error {
	switch {
	case event.Administrative(typ):
		return errAdmin
	case strings.HasPrefix(typ, "$"):
		return errReserved
	}
	return nil
}

// normalise appends to dst the record of one event. typ, when it is not empty,
// is the type that the route gives; a nil env.context adds nothing. What it
// writes is what event.Decoder reads. The error says what is wrong with the
// JSON; what is wrong with the event is the decoder's to say. with is the proof of its
// userId that the event came with, which is not written.
func normalise(dst, raw []byte, typ string, env *envelope) (value []byte, with string, err error) {
	if err := strict(raw); err != nil {
		return dst, "", err
	}
	var c call
	if !members(raw, c.take) {
		return dst, "", errNotObject
	}
	if typ == "" {
		if err := reserved(text(c.typ)); err != nil {
			return dst, "", err
		}
	}
	e := jx.Encoder{}
	e.SetBytes(dst)
	e.ObjStart()
	with = c.write(&e, typ, env)
	e.ObjEnd()
	// The rest follows its commas, before the closing brace.
	out := e.Bytes()
	out = append(out[:len(out)-1], c.rest...)
	return append(out, '}'), with, nil
}

// strict reads all of raw as JSON.
func strict(raw []byte) error {
	d := jx.GetDecoder()
	defer jx.PutDecoder(d)
	d.ResetBytes(raw)
	if d.Next() != jx.Object {
		return errNotObject
	}
	if err := d.Validate(); err != nil {
		return fmt.Errorf("reading JSON: %w", err)
	}
	return nil
}

// take sorts one member. The last of equal keys counts.
func (c *call) take(key, value []byte) {
	switch unquote(key) {
	case "type":
		c.typ = value
	case "anonymousId":
		c.anonymous = value
	case "userId":
		c.user = value
	case "messageId":
		c.message = value
	case "timestamp":
		c.timestamp = value
	case "originalTimestamp":
		c.original = value
	case "sentAt":
		c.sentAt = value
	case "context":
		c.context = value
	case "properties":
		c.properties = value
	case "integrations":
		c.libraries = value
	case "receivedAt", "writeKey", "_metadata", "ip", "request_ip":
		// Ours to say, a secret of sorts, nobody's business, and personal.
	default:
		c.rest = append(append(append(append(c.rest, ','), key...), ':'), value...)
	}
}

func (c *call) write(e *jx.Encoder, typ string, env *envelope) (with string) {
	if typ != "" {
		e.FieldStart("type")
		e.Str(typ)
	} else {
		raw(e, "type", c.typ)
	}
	raw(e, "anonymousId", c.anonymous)
	raw(e, "userId", c.user)
	if stated(c.message) {
		raw(e, "messageId", c.message)
	} else {
		e.FieldStart("messageId")
		e.Str(uuid.NewString())
	}
	c.times(e, env)
	raw(e, "properties", c.properties)
	context, with := taken(contextOf(c.context, env))
	raw(e, "context", context)
	raw(e, "integrations", merged(env.integrations, c.libraries, nil))
	return with
}

// times writes the stamps as event.Decoder reads them: the event's own time,
// and by which clock it was taken. The batch's sentAt is that of this transport; an
// event's own may be that of an earlier one, from which it was exported. An event
// without a time of its own happened when it was sent.
func (c *call) times(e *jx.Encoder, env *envelope) {
	sent := env.sentAt
	if !isTime(sent) {
		sent = c.sentAt
	} else if !env.retried && c.corrected(env) {
		sent = nil
	}
	e.FieldStart("receivedAt")
	e.Str(env.receivedAt)
	if !env.retried { // else it may be of the first attempt, which tells nothing of the clock
		raw(e, "sentAt", sent)
	}
	raw(e, "originalTimestamp", c.original)
	switch {
	case stated(c.timestamp):
		raw(e, "timestamp", c.timestamp)
	case stated(c.original):
	case isTime(sent):
		raw(e, "timestamp", sent)
	default:
		e.FieldStart("timestamp")
		e.Str(env.receivedAt)
	}
}

// corrected corrects the event's time by a clock that is more than a day behind, by the
// batch's sentAt: in the record that would pass for an import's own. The client's time
// stays as the original one.
func (c *call) corrected(env *envelope) bool {
	sent, _ := event.Time(env.sentAt)
	received, ok := event.Time([]byte(`"` + env.receivedAt + `"`))
	if !ok || received-sent <= event.MaxBehind {
		return false
	}
	own := c.original
	if !isTime(own) {
		own = c.timestamp
	}
	at, ok := event.Time(own)
	if !ok {
		at, own = sent, nil
	}
	if at += received - sent; at > received {
		at = received
	}
	c.original, c.timestamp = own, []byte(`"`+time.UnixMilli(at).UTC().Format(timeForm)+`"`)
	return true
}

// isTime reports whether the decoder can read a stamp.
func isTime(v []byte) bool {
	if !stated(v) {
		return false
	}
	_, ok := event.Time(v)
	return ok
}

func raw(e *jx.Encoder, key string, value []byte) {
	if value != nil {
		e.FieldStart(key)
		e.Raw(value)
	}
}

// stated reports whether a value is there and neither null nor empty.
func stated(v []byte) bool {
	return len(v) > 0 && string(v) != "null" && string(v) != `""`
}

// contextOf is the event's context over the batch's, without the address of
// the visitor, with the user agent of the request where there is none.
func contextOf(own []byte, env *envelope) []byte {
	if len(own) > 0 && own[0] == '[' && space(own, 1) == len(own)-1 {
		own = nil // PHP's empty map
	}
	if stated(own) && !isObject(own) {
		return own // for the decoder to warn of
	}
	agent := env.userAgent != "" && !has(own, "userAgent") && !has(env.context, "userAgent")
	if env.context == nil && !agent && !bytes.Contains(own, ipKey) && !bytes.Contains(own, backslash) {
		return own
	}
	out := merged(env.context, own, func(key string) bool { return key == "ip" })
	if !agent {
		return out
	}
	e := jx.Encoder{}
	e.ObjStart()
	e.FieldStart("userAgent")
	e.Str(env.userAgent)
	e.ObjEnd()
	return merged(out, e.Bytes(), nil)
}

var ipKey, backslash = []byte(`"ip"`), []byte(`\`)

// merged is the object own over the object base, key by key, without the keys
// to drop. Either may be nil or null; what is no object stays as it is.
func merged(base, own []byte, drop func(key string) bool) []byte {
	if base == nil && drop == nil || own != nil && string(own) != "null" && !isObject(own) {
		return own
	}
	seen := map[string]bool{}
	out := []byte{'{'}
	put := func(key, value []byte) {
		if name := unquote(key); !seen[name] && (drop == nil || !drop(name)) {
			seen[name] = true
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(append(out, key...), ':'), value...)
		}
	}
	last := map[string][]byte{} // of equal keys
	members(own, func(key, value []byte) { last[unquote(key)] = value })
	members(own, func(key, _ []byte) { put(key, last[unquote(key)]) })
	members(base, put)
	return append(out, '}')
}

func isObject(v []byte) bool { return len(v) > 0 && v[0] == '{' }

// has reports whether an object states the key.
func has(object []byte, key string) (found bool) {
	members(object, func(k, v []byte) {
		if unquote(k) == key {
			found = stated(v)
		}
	})
	return found
}

// unquote is the text of a key.
func unquote(key []byte) string {
	if inner := key[1 : len(key)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var s string
	if json.Unmarshal(key, &s) != nil {
		return ""
	}
	return s
}

// visitor is the user agent of a request where it is the visitor's: a
// browser's or a crawler's. Server libraries speak for people who use
// something else.
func visitor(userAgent string) string {
	ua := strings.ToValidUTF8(userAgent[:min(len(userAgent), 1024)], "")
	switch event.AgentOf(ua) {
	case event.AgentLibrary:
		return ""
	case event.AgentCrawler:
		return ua
	}
	if strings.HasPrefix(ua, "Mozilla/") || strings.HasPrefix(ua, "Opera/") {
		return ua
	}
	return ""
}
