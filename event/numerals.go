package event

import "strings"

// numberIn reads digits with separators. It tries every pair of a separator of groups
// and one of decimals; two readings that differ are none. In money of two decimals a
// comma before three digits separates groups; a full stop need not: a program that
// writes "$" before a number gives $11.691. It does where there are no decimals (whole).
func numberIn(s string, money, three, whole bool) (float64, Why) {
	var found float64
	readings := 0
	for _, group := range [...]string{"", ".", ",", " ", "'", "_"} {
		for _, point := range [...]string{"", ".", ","} {
			f, ok := reading(s, group, point)
			if !ok || point == "," && money && !three && thousand(s, ",") || point == "." && whole && thousand(s, ".") {
				continue
			}
			if readings++; readings > 1 && f != found {
				return 0, Ambiguous
			}
			found = f
		}
	}
	if readings == 0 {
		return 0, Unreadable
	}
	return found, ""
}

// thousand reports whether s is 1 to 3 digits, a separator and 3 digits.
func thousand(s, separator string) bool {
	whole, rest, _ := strings.Cut(s, separator)
	return len(rest) == 3 && whole != "" && grouped([]string{whole, rest})
}

// reading is the number that s is with these separators, each of which must be there.
func reading(s, group, point string) (float64, bool) {
	whole, fraction := s, ""
	if point != "" {
		var ok bool
		if whole, fraction, ok = strings.Cut(s, point); !ok || !isDigits(fraction) || group == point || whole == "" && group != "" {
			return 0, false
		}
	}
	if group != "" {
		parts := strings.Split(whole, group)
		if len(parts) < 2 || !grouped(parts) {
			return 0, false
		}
		whole = strings.Join(parts, "")
	}
	if whole == "" && fraction != "" { // .50
		whole = "0"
	}
	if !isDigits(whole) {
		return 0, false
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return parseNumber([]byte(whole))
}

// grouped reports whether digits are in groups of three, or as in India: 1,29,999.
func grouped(parts []string) bool {
	first, last := parts[0], parts[len(parts)-1]
	if !isDigits(first) || len(first) > 3 || first[0] == '0' || len(last) != 3 || !isDigits(last) {
		return false
	}
	size := 3
	if len(parts) > 2 && len(parts[1]) == 2 {
		if size = 2; len(first) > 2 {
			return false
		}
	}
	for _, p := range parts[1 : len(parts)-1] {
		if len(p) != size || !isDigits(p) {
			return false
		}
	}
	return true
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
