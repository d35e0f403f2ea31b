package event

import (
	"strings"

	"github.com/go-faster/jx"
)

// TypeDelete is the type of a tombstone: the record behind which nothing is
// known of a device any more. The endpoint that deletes persons writes it, keyed
// like the device's events; the collector refuses it. It has no event time and
// needs no consent.
//
//	{"type":"$delete","anonymousId":"…","userId":"…","messageId":"…","receivedAt":"…"}
const TypeDelete = "$delete"

// Deleted is a tombstone.
type Deleted struct {
	Device  string // as Event.Device: anonymousId, or "user:<id>"
	User    string // that is to lose the device even where nothing links them now; "": none
	Receipt string // of the deletion
}

// Append appends the record of the tombstone.
func (d *Deleted) Append(dst []byte, receivedAt string) []byte {
	e := jx.Encoder{}
	e.SetBytes(dst)
	e.ObjStart()
	for _, f := range [...][2]string{{"type", TypeDelete}, {"anonymousId", d.Device}, {"userId", d.User}, {"messageId", d.Receipt}, {"receivedAt", receivedAt}} {
		if f[1] != "" {
			e.FieldStart(f[0])
			e.Str(strings.ToValidUTF8(f[1], "\uFFFD"))
		}
	}
	e.ObjEnd()
	return e.Bytes()
}

// Keys are the record keys under which events of the device may be: the collector
// keys events that state only a userId by that.
func (d *Deleted) Keys() []string {
	if user, ok := strings.CutPrefix(d.Device, userDevice); ok {
		return []string{user, d.Device}
	}
	return []string{d.Device}
}

// deleted reads a tombstone.
func (d *Decoder) deleted(r *record, raw []byte, e *Event) error {
	e.Kind = KindDelete
	return d.identify(r, raw, e)
}
