package event

import (
	"strings"
	"unicode/utf8"

	"github.com/go-faster/jx"
)

// TypeRejected is the type of a record that is a refusal: what the collector
// was sent and could not take for an event. It goes through the log like any
// other record, so that dead letters have one way and one order.
//
//	{"type":"$rejected","reason":"oversized","detail":"…","anonymousId":"…","receivedAt":"…","raw":"…"}
const TypeRejected = "$rejected"

// Rejected is a refusal.
type Rejected struct {
	Reason      Reason // Malformed or Oversized
	Detail      string
	AnonymousID string // "": not known
	Raw         []byte // what was sent; the first MaxRejected bytes are kept
}

// MaxRejected is the number of bytes of Raw that a refusal keeps, before
// escaping.
const MaxRejected = 4096

// Overhead bounds what a collector adds to an event, in bytes: stamps, ids, the
// user agent, and what the batch says of the context. An event of the largest
// size that clients may send is read with Config.MaxBytes that much larger.
const Overhead = 4096

const maxDetail = 512

// Append appends the record of the refusal, valid JSON whatever Raw holds.
func (r *Rejected) Append(dst []byte, receivedAt string) []byte {
	e := jx.Encoder{}
	e.SetBytes(dst)
	e.ObjStart()
	str := func(key, value string) {
		e.FieldStart(key)
		e.Str(value)
	}
	str("type", TypeRejected)
	str("reason", string(r.Reason))
	str("detail", strings.ToValidUTF8(r.Detail, "?"))
	if r.AnonymousID != "" {
		str("anonymousId", r.AnonymousID)
	}
	str("receivedAt", receivedAt)
	str("raw", strings.ToValidUTF8(string(cut(r.Raw, MaxRejected)), "\uFFFD"))
	e.ObjEnd()
	return e.Bytes()
}

// rejected is the error that a refusal stands for.
func (d *Decoder) rejected(r *record, e *Event) error {
	if anon, ok := r.id(fAnonymousID); ok {
		e.Device = d.ids.string(anon)
	}
	reason := Malformed
	if string(r.text(fReason)) == string(Oversized) {
		reason = Oversized
	}
	kept := string(cut(r.text(fRaw), d.cfg.MaxPayload))
	return &Error{Reason: reason, Detail: string(cut(r.text(fDetail), maxDetail)), Payload: &kept}
}

// cut is at most n bytes of b, not cut within a character.
func cut(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	end := n
	for end > 0 && end > n-utf8.UTFMax && !utf8.RuneStart(b[end]) {
		end--
	}
	return b[:end]
}
