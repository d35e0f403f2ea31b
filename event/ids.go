package event

import "bytes"

// blocked are ids that many visitors share by mistake: what programs write where
// they have none, names of fields, and ids that a fault gave to many devices. Lower
// case; those of zeros alone are blocked as well. The list is that of the field
// (Segment's, Adobe's, Amplitude's and PostHog's rules).
var blocked = func() map[string]bool {
	m := map[string]bool{}
	for _, id := range []string{"null", "(null)", "nil", "none", "undefined", "nan", "anonymous", "anon", "guest", "unknown", "n/a", "na",
		"-1", "true", "false", "{}", "[]", `""`, "userid", "user_id", "anonymousid", "anonymous_id", "distinct_id", "distinctid",
		"device_id", "deviceid", "$device_id", "id", "email", "not_authenticated", "notauthenticated", "not set", "(not set)",
		"unauthenticated", "[object object]", "[object undefined]", "[object null]", "<null>", "<nil>", "%!s(<nil>)",
		"9774d56d682e549c", "lmy47d"} { // of an Android emulator, and of a build
		m[id] = true
	}
	return m
}()

const maxBlocked = 24 // bytes of the longest

// Nobody reports whether an id, as an event states it, stands for no one.
func Nobody(id string) bool { return nobody([]byte(id)) }

// nobody reports whether an id stands for no one: it never links, and is no
// device of its own.
func nobody(id []byte) bool {
	id = bytes.TrimSpace(id)
	if len(id) == 0 || placeholder(id) {
		return true
	}
	if len(id) <= maxBlocked {
		var low [maxBlocked]byte
		for i, c := range id {
			if c-'A' < 26 {
				c |= 0x20
			}
			low[i] = c
		}
		if blocked[string(low[:len(id)])] {
			return true
		}
	}
	for _, c := range id {
		if c != '0' && c != '-' {
			return false
		}
	}
	return true
}

// placeholder reports whether an id is a template's that nobody filled in:
// {{ user.id }}, ${userId}, <user_id>, %USER_ID%.
func placeholder(id []byte) bool {
	around := func(open, end string) bool {
		return len(id) > len(open)+len(end) && bytes.HasPrefix(id, []byte(open)) && bytes.HasSuffix(id, []byte(end))
	}
	switch id[0] {
	case '{':
		return around("{{", "}}") || around("{%", "%}")
	case '$':
		return around("${", "}")
	case '<':
		return around("<", ">")
	case '%':
		return around("%", "%")
	}
	return false
}
