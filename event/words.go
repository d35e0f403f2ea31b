package event

import "unicode/utf8"

// short is a word as tables know it: in lower case, without what people put
// between its parts ("Smart TV", "smart_tv" and "SMART-TV" are one word), as a
// map key that needs no allocation; zero bytes fill it up. Longer words are the
// zero key, which no table has.
type short [24]byte

// squeezed is the word that b spells.
func squeezed(b []byte) (s short) {
	n := 0
	for i := 0; i < len(b); {
		c := b[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(b[i:])
			if between(r) {
				i += size
				continue
			}
		}
		i++
		if c == ' ' || c == '-' || c == '_' || c == '.' || c == '/' {
			continue
		}
		if n == len(s) {
			return short{}
		}
		if c-'A' < 26 {
			c |= 0x20
		}
		s[n] = c
		n++
	}
	return s
}

// between reports whether r is one of the hyphens, dashes and spaces beyond ASCII.
// The Network Information API's own text has U+2011 in "slow-2g".
func between(r rune) bool {
	return r >= '\u2010' && r <= '\u2015' || r == '\u2212' || r == '\u00ad' || r == '\u00a0' || r == '\u202f'
}

func word(w string) short { return squeezed([]byte(w)) }

// table makes a table of words: each value's words in one text.
func table[V any](rows map[string]V, split func(string) []string) map[short]V {
	t := map[short]V{}
	for words, v := range rows {
		for _, w := range split(words) {
			t[word(w)] = v
		}
	}
	return t
}
