package collect

import "bytes"

// The functions of this file find where JSON values begin and end without
// reading what is in them, and without recursion: so one broken or bottomless
// event does not hide where the next one begins. What they find is read
// strictly later.

// space skips white space from i.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// stringEnd is the position behind the string that begins at i, -1 when it has no end.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// valueEnd is the position behind the value that begins at i, and how deep it
// nests; -1 when it has no end. Brackets have to pair in number only.
func valueEnd(b []byte, i int) (end, depth int) {
	open := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = stringEnd(b, i); i < 0 {
				return -1, depth
			}
			if open == 0 {
				return i, depth
			}
			continue
		case '{', '[':
			open++
			depth = max(depth, open)
		case '}', ']':
			if open == 0 {
				return i, depth // of what holds the value
			}
			if open--; open == 0 {
				return i + 1, depth
			}
		case ',', ' ', '\n', '\r', '\t':
			if open == 0 {
				return i, depth
			}
		}
		i++
	}
	if open > 0 {
		return -1, depth
	}
	return i, depth
}

// elements calls each with every element of the array b and how deep it
// nests. It reports whether b is an array, as far as its commas and brackets
// tell.
func elements(b []byte, each func(raw []byte, depth int)) bool {
	i := space(b, 0)
	if i >= len(b) || b[i] != '[' {
		return false
	}
	if i = space(b, i+1); i < len(b) && b[i] == ']' {
		return space(b, i+1) == len(b)
	}
	for {
		end, depth := valueEnd(b, i)
		if end <= i {
			return false
		}
		each(b[i:end], depth)
		if i = space(b, end); i >= len(b) {
			return false
		}
		switch b[i] {
		case ',':
			i = space(b, i+1)
		case ']':
			return space(b, i+1) == len(b)
		default:
			return false
		}
	}
}

// members calls each with every key (as it is written, in quotes) and value of
// the object b. It reports whether b is an object, as far as its commas,
// colons and brackets tell.
func members(b []byte, each func(key, value []byte)) bool {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	if i = space(b, i+1); i < len(b) && b[i] == '}' {
		return space(b, i+1) == len(b)
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return false
		}
		keyEnd := stringEnd(b, i)
		if keyEnd < 0 {
			return false
		}
		key := b[i:keyEnd]
		if i = space(b, keyEnd); i >= len(b) || b[i] != ':' {
			return false
		}
		i = space(b, i+1)
		end, _ := valueEnd(b, i)
		if end <= i {
			return false
		}
		each(key, b[i:end])
		if i = space(b, end); i >= len(b) {
			return false
		}
		switch b[i] {
		case ',':
			i = space(b, i+1)
		case '}':
			return space(b, i+1) == len(b)
		default:
			return false
		}
	}
}

var bom = []byte("\xef\xbb\xbf")

// trimmed is a body without white space and byte order mark around it.
func trimmed(b []byte) []byte { return bytes.TrimSpace(bytes.TrimPrefix(b, bom)) }
