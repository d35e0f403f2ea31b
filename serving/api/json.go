package api

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/microseg/microseg/segment"
)

// The answers that are asked for most are appended field by field, in the form
// that encoding/json would give them; a test compares.

// appendString appends a JSON string, escaped as encoding/json does for HTML.
func appendString(b []byte, s string) []byte {
	start, done := len(b), 0
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 0x80: // may be no UTF-8
			text, err := json.Marshal(s)
			if err != nil {
				panic(fmt.Sprintf("api: encoding a string: %v", err))
			}
			return append(b[:start], text...)
		case c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&':
			continue
		}
		b = append(b, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	return append(append(b, s[done:]...), '"')
}

// finite reports whether JSON has the number.
func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// appendFloat appends a finite number.
func appendFloat(b []byte, x float64) []byte {
	form := byte('f')
	if abs := math.Abs(x); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e'
	}
	b = strconv.AppendFloat(b, x, form, -1, 64)
	// e-09 is e-9 in JavaScript's form.
	if n := len(b); form == 'e' && n >= 4 && b[n-4] == 'e' && b[n-2] == '0' {
		b = append(b[:n-2], b[n-1])
	}
	return b
}

func appendInt(b []byte, name string, x int64) []byte {
	return strconv.AppendInt(append(b, name...), x, 10)
}

func appendBool(b []byte, name string, x bool) []byte {
	return strconv.AppendBool(append(b, name...), x)
}

func appendText(b []byte, name, text string) []byte {
	return appendString(append(b, name...), text)
}

// appendConditions appends what conditions makes of them.
func appendConditions(b []byte, in []segment.Condition) []byte {
	b = append(b, '[')
	for i := range in {
		c := &in[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, `{"text":`, c.Text)
		b = appendBool(b, `,"holds":`, c.Holds)
		switch {
		case c.Name != "":
			b = appendText(b, `,"value":`, c.Name)
		case c.Defined && finite(c.Value):
			b = appendFloat(append(b, `,"value":`...), c.Value)
		}
		if c.Next != math.MaxInt64 && c.Next != 0 {
			b = appendInt(b, `,"next_ms":`, c.Next)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}
