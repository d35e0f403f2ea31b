package segment

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// mistake is what people write who know another language than that of conditions.
type mistake struct {
	at     *regexp.Regexp // where it begins; group 1, if there is one, is what it is about
	advise func(text string) string
}

// fixed advises the same whatever is found.
func fixed(advice string) func(string) string { return func(string) string { return advice } }

// mistakes are looked for in this order; what one has found is no other's.
var mistakes = []mistake{
	{regexp.MustCompile(`[“”„«»‘’][^“”„«»‘’]*[“”„«»‘’]?`), func(s string) string {
		return fmt.Sprintf("write straight quotes: %q", strings.Trim(s, "“”„«»‘’"))
	}},
	{regexp.MustCompile(`[0-9]+(?:[.,][0-9]+)?\s*%`), func(s string) string {
		x, err := strconv.ParseFloat(strings.Replace(strings.TrimRight(s, "% \t"), ",", ".", 1), 64)
		if err != nil {
			return "write a share as a number from 0 to 1"
		}
		return fmt.Sprintf("write %v, not %s", x/100, s)
	}},
	{regexp.MustCompile(`[$€£¥]\s*[0-9][0-9.,]*`), func(s string) string {
		return fmt.Sprintf("write %s, not %s: amounts are in the shop's currency", strings.TrimLeftFunc(s, notDigit), s)
	}},
	{regexp.MustCompile(`(?i)\b(` + aTime + `(?:\s?` + aTime + `)*)\b`), inSeconds},
	{regexp.MustCompile(`\b[0-9]{1,3}(?:,[0-9]{3})+\b`), func(s string) string {
		return fmt.Sprintf("write %s, not %s", strings.ReplaceAll(s, ",", ""), s)
	}},
	{regexp.MustCompile(`[<>=]\s*([0-9]+,[0-9]+)\b`), func(s string) string {
		return fmt.Sprintf("write %s, not %s", strings.Replace(s, ",", ".", 1), s)
	}},
	{regexp.MustCompile(`(?i)\bAND\b`), func(s string) string { return "write && for " + s }},
	{regexp.MustCompile(`(?i)\bOR\b`), func(s string) string { return "write || for " + s }},
	{regexp.MustCompile(`(?i)\bNOT\s+IN\b`), func(s string) string { return "write !(… in […]) for " + s }},
	{regexp.MustCompile(`(?i)\bNOT\b`), func(s string) string { return "write ! for " + s }},
	{regexp.MustCompile(`(?i)\bIS\b`), func(s string) string { return "write == for " + s }},
	{regexp.MustCompile(`(?i)\bBETWEEN\b`), fixed("write two comparisons with &&, such as x >= 1 && x <= 2, for between")},
	{regexp.MustCompile(`<>`), fixed("write != for <>")},
	{regexp.MustCompile(`=>`), fixed("write >= for =>")},
	{regexp.MustCompile(`=<`), fixed("write <= for =<")},
	{regexp.MustCompile(`===|!==`), func(s string) string { return "write " + s[:2] + " for " + s }},
	{regexp.MustCompile(`[≥≤≠]`), func(s string) string {
		return "write " + map[string]string{"≥": ">=", "≤": "<=", "≠": "!="}[s] + " for " + s
	}},
	{regexp.MustCompile(`(?:^|[^&])(&)(?:[^&]|$)`), fixed("write && for &")},
	{regexp.MustCompile(`(?:^|[^|])(\|)(?:[^|]|$)`), fixed("write || for |")},
	{regexp.MustCompile(`(?:^|[^=<>!])(=)(?:[^=<>]|$)`), fixed("write == for =")},
	{regexp.MustCompile(`(?i)\bin\s*(\()`), fixed(`write a list in square brackets, such as in ["cart", "checkout"]`)},
	{regexp.MustCompile(`\b(?:True|TRUE|False|FALSE)\b`), func(s string) string { return "write " + strings.ToLower(s) + " for " + s }},
	{regexp.MustCompile(`;`), fixed("leave the semicolon out")},
}

func notDigit(r rune) bool { return !unicode.IsDigit(r) }

// aTime is a number with a unit of time.
const aTime = `[0-9]+(?:\.[0-9]+)?\s?(?:milliseconds?|millis|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)`

var timePart = regexp.MustCompile(`([0-9.]+)\s?([a-zA-Z]+)`)

// inSeconds says what a time with units, such as 90s or 1h30m, is in the unit of features.
func inSeconds(s string) string {
	sum := 0.0
	for _, m := range timePart.FindAllStringSubmatch(s, -1) {
		x, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return "write a time as a number of seconds"
		}
		switch unit := strings.ToLower(m[2]); {
		case unit == "ms" || strings.HasPrefix(unit, "mill"):
			x /= 1000
		case unit[0] == 'm':
			x *= 60
		case unit[0] == 'h':
			x *= 3600
		case unit[0] == 'd':
			x *= 86400
		}
		sum += x
	}
	return fmt.Sprintf("write %v, not %s: times are in seconds", sum, s)
}

// mistaken says what is known to be wrong with a condition that cannot be read,
// all of it at once, in the order of the text; none: nothing is known.
func (c *Compiler) mistaken(src string) (out []*CompileError) {
	text := []byte(blank(src))
	found := map[int]string{}
	note := func(from, to int, advice string) {
		found[from] = advice
		for i := from; i < to; i++ { // what it is about is nothing else besides
			text[i] = ' '
		}
	}
	for _, m := range mistakes {
		for _, at := range m.at.FindAllSubmatchIndex(text, -1) {
			from, to := at[0], at[1]
			if len(at) > 2 && at[2] >= 0 {
				from, to = at[2], at[3]
			}
			note(from, to, m.advise(src[from:to]))
		}
	}
	for _, at := range namesAt.FindAllIndex(text, -1) {
		if name := src[at[0]:at[1]]; !c.knows(name, text[at[1]:]) {
			note(at[0], at[1], c.unknown(name))
		}
	}
	for i := range src {
		if advice, is := found[i]; is {
			line, column := placeOf(src, i)
			out = append(out, &CompileError{line, column, advice})
		}
	}
	return append(out, unbalanced(src)...)
}

var namesAt = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*`)

// knows reports whether a name of the text means something, or stands for a
// function, of which the parser has words of its own.
func (c *Compiler) knows(name string, behind []byte) bool {
	switch name {
	case "in", "true", "false", "null":
		return true
	}
	behind = bytes.TrimLeft(behind, " \t")
	return c.schema.byName[name] != nil || len(behind) > 0 && behind[0] == '('
}

// blank replaces what is in quotes by spaces, so that no word of a text is taken
// for one of the language. Offsets stay.
func blank(src string) string {
	out := []byte(src)
	var quote byte
	for i := 0; i < len(out); i++ {
		switch c := out[i]; {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0:
		case c == quote:
			quote = 0
		case c == '\\' && i+1 < len(out):
			out[i], out[i+1] = ' ', ' '
			i++
		default:
			out[i] = ' '
		}
	}
	return string(out)
}

// unbalanced finds brackets without their other half and a text without its end.
func unbalanced(src string) (out []*CompileError) {
	var open []int
	at := func(i int, advice string) {
		line, column := placeOf(src, i)
		out = append(out, &CompileError{line, column, advice})
	}
	text := blank(src)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '(', '[':
			open = append(open, i)
		case ')', ']':
			if len(open) == 0 || (text[open[len(open)-1]] == '(') != (c == ')') {
				at(i, fmt.Sprintf("nothing is open that this %c closes", c))
				return out
			}
			open = open[:len(open)-1]
		}
	}
	for _, i := range open {
		at(i, fmt.Sprintf("this %c is never closed", text[i]))
	}
	for _, quote := range []string{`"`, `'`} {
		if n := strings.Count(text, quote); n%2 != 0 {
			at(strings.LastIndex(text, quote), "this quote is never closed")
		}
	}
	return out
}

// placeOf is the line and column of a byte, 1-based; columns count code points.
func placeOf(src string, i int) (line, column int) {
	before := src[:i]
	line = 1 + strings.Count(before, "\n")
	return line, 1 + len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
}

var unexpected = regexp.MustCompile(`(?s)(?:mismatched|extraneous|no viable alternative at) input '([^']*)'|token recognition error at: '([^']*)'|missing '[^']*' at '([^']*)'`)

// misplaced says what the parser stumbled over, in words of ours.
func misplaced(message string) string {
	m := unexpected.FindStringSubmatch(message)
	if m == nil {
		return "this cannot be read; " + supported
	}
	switch text := m[1] + m[2] + m[3]; text {
	case "<EOF>":
		return "the condition ends too early; something is missing behind this"
	default:
		return fmt.Sprintf("%s cannot stand here; %s", strings.TrimSpace(text), supported)
	}
}
