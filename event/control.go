package event

import (
	"encoding/base64"
	"strings"

	"github.com/go-faster/jx"
)

// Types of records that are no behaviour. They have no event time, so no clock
// decides what they are about: that is what lies before them in the log. They
// need no consent, since they only let go.
const (
	// TypeDelete is the type of a tombstone: the record behind which nothing is
	// known of a device any more. The endpoint that deletes persons writes it, keyed
	// like the device's events; the collector refuses it.
	//
	//	{"type":"$delete","anonymousId":"…","userId":"…","messageId":"…","receivedAt":"…"}
	TypeDelete = "$delete"
	// TypeUnlink takes a device from a user. The endpoint that unlinks writes it,
	// keyed like the device's events; the collector refuses it.
	//
	//	{"type":"$unlink","anonymousId":"…","userId":"…","messageId":"…","receivedAt":"…"}
	TypeUnlink = "$unlink"
	// TypeDisclaim takes the name of a user who was deleted from a device that only
	// claimed to be the user's: what it did stays its own. The endpoint that deletes
	// persons writes it, keyed like the device's events; the collector refuses it.
	//
	//	{"type":"$disclaim","anonymousId":"…","userId":"…","messageId":"…","receivedAt":"…"}
	TypeDisclaim = "$disclaim"
	// TypeDeleteUser deletes what a user did on a device that others use, too. The endpoint
	// that deletes persons writes it, keyed like the device's events; the collector refuses
	// it.
	//
	//	{"type":"$delete-user","anonymousId":"…","userId":"…","messageId":"…","receivedAt":"…"}
	TypeDeleteUser = "$delete-user"
	// TypeReset is a log-out on a device. Anybody who may write events may write it.
	//
	//	{"type":"reset","anonymousId":"…"}
	TypeReset = "reset"
	// TypeRebuild tells to make a device anew from what the log holds of it, now
	// that records read that were dead letters. `microseg deadletters replay` writes
	// it, into the partition of the device's events; the collector refuses it.
	//
	//	{"type":"$rebuild","anonymousId":"…","messageId":"…","raw":"base64 of identity.Part"}
	TypeRebuild = "$rebuild"
)

// Administrative reports whether only the endpoints of the site's own servers write
// records of a type. The collector refuses any other type that begins with $, too.
func Administrative(typ string) bool {
	return typ == TypeDelete || typ == TypeUnlink || typ == TypeRebuild || typ == TypeDisclaim || typ == TypeDeleteUser
}

// rebuildStart is how each record of Rebuild begins, and no other one that the
// collector lets through: such a record is as long as it must be.
const rebuildStart = `{"type":"$rebuild",`

// typeAlias is Segment's call that links an anonymous previousId to a userId.
const typeAlias = "alias"

// Deleted is a tombstone.
type Deleted struct {
	Device  string // as Event.Device: anonymousId, or "user:<id>"
	User    string // that is to lose the device even where nothing links them now; "": none
	Receipt string // of the deletion
}

// Append appends the record of the tombstone.
func (d *Deleted) Append(dst []byte, receivedAt string) []byte {
	return appendRecord(dst, [][2]string{{"type", TypeDelete}, {"anonymousId", d.Device}, {"userId", d.User}, {"messageId", d.Receipt}, {"receivedAt", receivedAt}})
}

// appendRecord writes an object of the members that are not empty.
func appendRecord(dst []byte, members [][2]string) []byte {
	e := jx.Encoder{}
	e.SetBytes(dst)
	e.ObjStart()
	for _, f := range members {
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

// Unlinked takes a device from a user.
type Unlinked struct {
	Device  string // anonymousId
	User    string
	Receipt string // names the request
}

// Append appends the record.
func (u *Unlinked) Append(dst []byte, receivedAt string) []byte {
	return appendRecord(dst, [][2]string{{"type", TypeUnlink}, {"anonymousId", u.Device}, {"userId", u.User}, {"messageId", u.Receipt}, {"receivedAt", receivedAt}})
}

// Disclaimed takes a user's name from a device that only claimed to be the user's.
type Disclaimed struct {
	Device  string // anonymousId
	User    string
	Receipt string // of the deletion
}

// Append appends the record.
func (c *Disclaimed) Append(dst []byte, receivedAt string) []byte {
	return appendRecord(dst, [][2]string{{"type", TypeDisclaim}, {"anonymousId", c.Device}, {"userId", c.User}, {"messageId", c.Receipt}, {"receivedAt", receivedAt}})
}

// DeletedUser deletes what a user did on a device that others use, too: the user's
// epochs, and the user's name where others are only claims. What else was done on the
// device stays.
type DeletedUser struct {
	Device  string // anonymousId
	User    string
	Receipt string // of the deletion
}

// Append appends the record.
func (d *DeletedUser) Append(dst []byte, receivedAt string) []byte {
	return appendRecord(dst, [][2]string{{"type", TypeDeleteUser}, {"anonymousId", d.Device}, {"userId", d.User}, {"messageId", d.Receipt}, {"receivedAt", receivedAt}})
}

// Rebuild tells to make a device anew.
type Rebuild struct {
	Device  string // as Event.Device
	Receipt string // of the replay
	Payload []byte // of identity
}

// Append appends the record.
func (b *Rebuild) Append(dst []byte) []byte {
	return appendRecord(dst, [][2]string{{"type", TypeRebuild}, {"anonymousId", b.Device}, {"messageId", b.Receipt}, {"raw", base64.StdEncoding.EncodeToString(b.Payload)}})
}

// rebuild reads what Rebuild wrote.
func (d *Decoder) rebuild(r *record, raw []byte, e *Event) (err error) {
	e.Kind = KindRebuild
	if err = d.identify(r, raw, e); err != nil {
		return err
	}
	if e.Raw, err = base64.StdEncoding.DecodeString(string(r.text(fRaw))); err != nil || len(e.Raw) == 0 {
		return malformed("a rebuild without its payload makes nothing anew")
	}
	e.User = ""
	return nil
}

// control reads a record that is no behaviour; false means that it is another one.
func (d *Decoder) control(r *record, raw []byte, e *Event) (bool, error) {
	switch string(r.text(fType)) {
	case TypeDelete:
		e.Kind = KindDelete
		return true, d.identify(r, raw, e)
	case TypeUnlink, TypeDisclaim, TypeDeleteUser:
		e.Kind = map[string]Kind{TypeUnlink: KindUnlink, TypeDisclaim: KindDisclaim, TypeDeleteUser: KindDeleteUser}[string(r.text(fType))]
		if err := d.identify(r, raw, e); err != nil {
			return true, err
		}
		if e.User == "" || !e.anonymous() {
			return true, malformed("an unlink takes an anonymousId from a userId, and one of them is missing or stands for nobody")
		}
		return true, nil
	case TypeReset:
		e.Kind = KindReset
		if err := d.identify(r, raw, e); err != nil {
			return true, err
		}
		if !e.anonymous() {
			return true, malformed("anonymousId: a reset without one logs nobody out")
		}
		e.User = ""
		return true, nil
	case TypeRebuild:
		return true, d.rebuild(r, raw, e)
	}
	return false, nil
}

// anonymous reports whether the device is an anonymousId, not an event's userId.
func (e *Event) anonymous() bool { return !IsUserDevice(e.Device) }

// IsUserDevice reports whether a device is that of a user's events that state no
// anonymousId. It cannot be linked or unlinked: its name says whose it is.
func IsUserDevice(device string) bool { return strings.HasPrefix(device, userDevice) }

// alias makes the event one of the device that is linked: previousId.
func (d *Decoder) alias(r *record, e *Event) error {
	previous, ok := r.id(fPreviousID)
	switch {
	case !ok:
		return malformed("previousId: not a text or number of at most 512 bytes")
	case nobody(previous):
		return malformed("previousId: an alias without one, or with one that stands for nobody, links nothing")
	case e.User == "":
		return malformed("userId: an alias without one, or with one that stands for nobody, links nothing")
	}
	e.Device = d.ids.string(previous)
	if !e.anonymous() && e.Trust.fromPage() {
		return malformed("previousId: begins with user:, which is kept for what servers send of a userId alone")
	}
	return nil
}
