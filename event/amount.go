package event

import (
	"html"
	"math"
	"strings"
	"unicode"

	"github.com/go-faster/jx"
)

// amount reads a number from 0 to maxMeasure as people and shops write one: 99, "99.00",
// "$1,299.00", "1.299,00 €", {"amount": "99", "currencyCode": "EUR"}. ok is false where
// there is none, or where there are two readings; of what is stated that is a warning.
func (r *record) amount(f field) (v float64, ok bool) {
	v, why := r.notNegative(f, r.currency())
	if why != "" {
		r.warn(f, why, &r.vals[f])
	}
	return v, why == "" && r.stated(f)
}

// signed is amount for what may be below zero.
func (r *record) signed(f field) (v float64, ok bool) {
	v, why := r.read(f, r.currency())
	if why != "" {
		r.warn(f, why, &r.vals[f])
	}
	return v, why == "" && r.stated(f)
}

func (r *record) notNegative(f field, currency string) (v float64, why Why) {
	if v, why = r.read(f, currency); v < 0 {
		return 0, Negative
	}
	return math.Abs(v), why // no negative zero
}

// read is the number that f is, or why it is none; 0 when it is not stated.
func (r *record) read(f field, currency string) (v float64, why Why) {
	if !r.stated(f) {
		return 0, ""
	}
	at, ok := &r.vals[f], false
	if at.typ == jx.Number || at.typ == jx.String {
		v, ok = parseNumber(at.b)
	}
	if !ok {
		v, why = at.money(currency)
	}
	if why == "" && math.Abs(v) > maxMeasure {
		why = OutOfRange
	}
	if why != "" {
		return 0, why
	}
	return v, ""
}

// currency is that of the event's properties.
func (r *record) currency() string { return string(r.text(pCurrency)) }

// money reads what is not simply a number.
func (v *value) money(currency string) (float64, Why) {
	switch v.typ {
	case jx.String, jx.Number:
		if f, ok := parseNumber(v.b); ok {
			return f, ""
		}
		return readAmount(string(v.b), currency)
	case jx.Array:
		return onlyAmount(v.b, currency)
	case jx.Object:
		return objectAmount(v.b, currency)
	}
	return 0, Unreadable
}

// onlyAmount is the amount in a list of one.
func onlyAmount(raw []byte, currency string) (f float64, why Why) {
	n := 0
	why = Empty
	eachElement(raw, func(v *value) {
		if n++; v.typ != jx.Array {
			f, why = v.money(currency)
		} else {
			why = Unreadable
		}
	})
	if n > 1 {
		return 0, Ambiguous
	}
	return f, why
}

// objectAmount reads an amount with its currency, as Shopify, Google, commercetools
// and others write it.
func objectAmount(raw []byte, currency string) (float64, Why) {
	members := map[short]value{}
	eachMember(raw, func(key []byte, v *value) { members[squeezed(key)] = *v })
	for _, key := range [...]string{"currency", "currency code", "currency iso"} {
		if v := members[word(key)]; v.typ == jx.String {
			currency = string(v.b)
		}
	}
	for _, key := range [...]string{"amount", "value", "price"} {
		if v := members[word(key)]; v.typ == jx.String || v.typ == jx.Number {
			return v.money(currency)
		}
	}
	for _, key := range [...]string{"shop money", "amount", "value", "price"} { // {"shopMoney": {"amount": …}}
		if v := members[word(key)]; v.typ == jx.Object && len(v.b) < len(raw) {
			return objectAmount(v.b, currency)
		}
	}
	number := func(key string) (float64, bool) {
		v := members[word(key)]
		if v.typ != jx.String && v.typ != jx.Number {
			return 0, false
		}
		return parseNumber(v.b)
	}
	for _, key := range [...]string{"micros", "amount micros", "price amount micros"} {
		if f, ok := number(key); ok {
			return f / 1e6, ""
		}
	}
	units, okUnits := number("units")
	nanos, okNanos := number("nanos")
	if okUnits || okNanos {
		return units + nanos/1e9, ""
	}
	if cents, ok := number("cent amount"); ok {
		if digits, ok := number("fraction digits"); ok && digits >= 0 && digits <= 4 {
			return cents / math.Pow10(int(digits)), ""
		}
		return 0, Ambiguous
	}
	if len(members) == 0 {
		return 0, Empty
	}
	return 0, Unreadable
}

// plainer turns the digits, separators and spaces of other scripts into those of ASCII.
var plainer = func(c rune) rune {
	for _, zero := range [...]rune{'٠', '۰', '０', '०'} {
		if c >= zero && c <= zero+9 {
			return '0' + c - zero
		}
	}
	switch c {
	case '٫', '．':
		return '.'
	case '٬', '，':
		return ','
	case '’', '‘', '´':
		return '\''
	case '−', '–', '—', '‐', '‑':
		return '-'
	case '\u200e', '\u200f', '\u202a', '\u202c', '\u2066', '\u2069': // marks of direction
		return -1
	}
	if unicode.IsSpace(c) {
		return ' '
	}
	return c
}

// readAmount reads a text with a number in it, of the currency if the text names none.
func readAmount(text, currency string) (f float64, why Why) {
	if len(text) > 64 {
		return 0, Unreadable
	}
	if strings.Contains(text, "&") {
		text = html.UnescapeString(text) // &euro;12,50: shop systems hand on what their templates show
	}
	s := strings.TrimSpace(strings.Map(plainer, text))
	if s == "" {
		return 0, Empty
	}
	negative := false
	if inner, ok := strings.CutPrefix(s, "("); ok && strings.HasSuffix(inner, ")") {
		negative, s = true, inner[:len(inner)-1]
	}
	whole := false                                               // as the dash says
	for _, dash := range [...]string{".-", ",-", ".--", ",--"} { // 99,- and 99.–
		if rest, ok := strings.CutSuffix(s, dash); ok {
			s, whole = rest, true
		}
	}
	name := ""
	for range 3 { // -$5, $-5, - $ 5
		var sign bool
		if s, sign = cutSign(s); sign {
			if negative {
				return 0, Unreadable
			}
			negative = true
		}
		var token string
		if token, s = cutFront(strings.TrimSpace(s)); token != "" {
			if name != "" {
				return 0, Unreadable
			}
			name = token
		}
		s = strings.TrimSpace(s)
	}
	if token, rest := cutBack(s); token != "" {
		if s = strings.TrimSpace(rest); name != "" && name != token && isSymbol(name) == isSymbol(token) {
			return 0, Unreadable // two currencies; "$5 USD" has one
		}
		if isSymbol(name) || name == "" {
			name = token
		}
	}
	if name != "" && !isCurrency(name) {
		return 0, Unreadable
	}
	if name == "" {
		name = currency
	}
	f, why = numberIn(s, isCurrency(name), thousandths[strings.ToUpper(name)], whole || undivided[strings.ToUpper(name)])
	if negative {
		f = -f
	}
	return f, why
}

func cutSign(s string) (rest string, negative bool) {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		return rest, true
	}
	return strings.TrimPrefix(s, "+"), false
}

// cutFront takes the letters and currency signs from the front, with a full stop
// behind letters ("Rs.").
func cutFront(s string) (token, rest string) {
	end := 0
	for i, c := range s {
		if !unicode.IsLetter(c) && !unicode.Is(unicode.Sc, c) && !(c == '.' && i > 0 && end == i) {
			break
		}
		end = i + len(string(c))
	}
	return s[:end], s[end:]
}

// cutBack is cutFront from the end.
func cutBack(s string) (token, rest string) {
	at := strings.LastIndexAny(s, "0123456789") + 1
	token = strings.TrimLeft(s[at:], " ")
	for i, c := range token {
		if !unicode.IsLetter(c) && !unicode.Is(unicode.Sc, c) && !(c == '.' && i > 0) {
			return "", s
		}
	}
	return token, s[:at]
}
