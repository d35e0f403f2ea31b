package event

import "github.com/go-faster/jx"

// passive reports whether nobody visits by the record: it says so itself (Segment's
// context.active), or it is what a server states of somebody. A job that names 2,000
// customers at night brings no visitor.
func (r *record) passive(e *Event) bool {
	if r.stated(cActive) && r.vals[cActive].no() {
		return true
	}
	if e.Trust != Server && !IsUserDevice(e.Device) {
		return false
	}
	switch string(r.text(fType)) {
	case "identify", "group", typeAlias:
		return true
	}
	return false
}

// no reports whether the value says false, in whatever form libraries write it.
func (v *value) no() bool {
	switch v.typ {
	case jx.Bool, jx.String, jx.Number:
		s := string(v.b)
		return s == "false" || s == "False" || s == "0"
	}
	return false
}
