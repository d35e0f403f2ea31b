package event

import "bytes"

// blocked are ids that many visitors share by mistake: what programs write
// where they have none. Lower case; those of zeros alone are blocked as well.
// The list is that of the field (Segment's and Adobe's unification rules).
var blocked = map[short]bool{
	word("null"): true, word("(null)"): true, word("nil"): true, word("none"): true, word("undefined"): true, word("nan"): true,
	word("anonymous"): true, word("anon"): true, word("guest"): true, word("unknown"): true, word("n/a"): true, word("na"): true,
	word("-1"): true, word("true"): true, word("false"): true, word("{}"): true, word("[]"): true, word("\"\""): true,
	word("userid"): true, word("user_id"): true, word("anonymousid"): true,
}

var objectText = []byte("[object Object]")

// Nobody reports whether an id, as an event states it, stands for no one.
func Nobody(id string) bool { return nobody([]byte(id)) }

// nobody reports whether an id stands for no one: it never links, and is no
// device of its own.
func nobody(id []byte) bool {
	id = bytes.TrimSpace(id)
	if len(id) == 0 || blocked[lower(id)] || bytes.EqualFold(id, objectText) {
		return true
	}
	for _, c := range id {
		if c != '0' && c != '-' {
			return false
		}
	}
	return true
}
