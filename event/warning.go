package event

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-faster/jx"
)

// Warning says that a detail of a record could not be read and was left out; the
// rest of the event counts.
type Warning struct {
	Property string // of a closed list: those that the decoder reads
	Why      Why
	Example  string // what was there, at most MaxExample bytes, without what may be personal
}

// Why is what is wrong with a detail. The values are those of the column
// event_warnings.reason.
type Why string

// The reasons.
const (
	Unreadable Why = "unreadable"   // no value of its kind
	Ambiguous  Why = "ambiguous"    // it has two readings: 1,299
	Negative   Why = "negative"     // an amount below zero
	OutOfRange Why = "out_of_range" // no sensible size, a time before 1973
	Empty      Why = "empty"        // an empty text where a number belongs
	WrongType  Why = "wrong_type"   // a text where an object belongs
)

// maxWarnings bounds those of one record.
const maxWarnings = 8

// MaxExample is the length of Warning.Example in bytes.
const MaxExample = 40

// warn notes that f could not be read.
func (r *record) warn(f field, why Why, v *value) {
	for i := range r.warnings {
		if r.warnings[i].Property == propertyNames[f] && r.warnings[i].Why == why {
			return
		}
	}
	r.add(Warning{propertyNames[f], why, example(v)})
}

func (r *record) add(w Warning) {
	if len(r.warnings) < maxWarnings {
		r.warnings = append(r.warnings, w)
	}
}

// propertyNames are the fields that warnings are about.
var propertyNames = [numFields]string{fTimestamp: "timestamp", fOriginal: "originalTimestamp", fSentAt: "sentAt", fReceivedAt: "receivedAt",
	fAnonymousID: "anonymousId", fUserID: "userId", fMessageID: "messageId", fProperties: "properties", fContext: "context",
	pPrice: "price", pQuantity: "quantity", pValue: "value", pTotal: "total", pRevenue: "revenue", pSubtotal: "subtotal", pProducts: "products",
	pDuration: "duration_ms", pDepth: "depth", pVelocity: "velocity", pHalf: "seconds_to_half", pSeconds: "seconds", pPosition: "position"}

// example shows what was there. Amounts, dates and words that stand for nothing are
// shown as they are; of anything else only the shape, since people write addresses and
// names into any field: letters become a, digits 9.
func example(v *value) string {
	text := strings.ToValidUTF8(string(v.b[:min(len(v.b), 4*MaxExample)]), "?")
	if v.typ == jx.Object || v.typ == jx.Array {
		text = strings.Join(strings.Fields(text), " ")
	}
	if !harmless(text) {
		text = strings.Map(func(c rune) rune {
			switch {
			case unicode.IsDigit(c):
				return '9'
			case unicode.IsLetter(c):
				return 'a'
			case unicode.IsControl(c):
				return ' '
			}
			return c
		}, text)
	}
	for len(text) > MaxExample {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// harmless reports whether a text is a short amount, a date, or a word for nothing.
func harmless(text string) bool {
	switch strings.ToLower(text) {
	case "", "n/a", "null", "none", "nan", "undefined", "unknown", "true", "false", "infinity", "free", "{}", "[]", "[object object]", "[null]":
		return true
	}
	digits, letters := 0, 0
	for _, c := range text {
		switch {
		case unicode.IsDigit(c):
			digits++
		case unicode.IsLetter(c):
			letters++
		case c == '@' || c == '_':
			return false
		}
	}
	date := len(text) >= 10 && text[4] == '-' && text[7] == '-' && strings.Trim(text, "0123456789-:.,+TtZz ") == ""
	return date || digits > 0 && digits <= 6 && letters <= 4 || digits+letters == 0
}

// Warnings are those of the record that was read last, valid until the next one.
func (d *Decoder) Warnings() []Warning { return d.parser.rec.warnings }
