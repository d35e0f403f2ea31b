package segment

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// sort says what values a feature takes, in words.
func (f *Feature) sort() string {
	switch {
	case f.Enum != nil:
		return "one of " + strings.Join(f.Enum, ", ")
	case f.Bool:
		return "true or false"
	}
	return "a number"
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	overload   = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '\((.*)\)'`)
	nameAt     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*`)
)

// reason rewrites a message of cel-go where it speaks of what a writer of
// conditions cannot know; line and column are 1-based.
func (c *Compiler) reason(message, src string, line, column int) string {
	if m := undeclared.FindStringSubmatch(message); m != nil {
		// cel-go names the first part of a dotted name only.
		lines := strings.Split(src, "\n")
		if line <= len(lines) {
			if rest := []rune(lines[line-1]); column <= len(rest) {
				if name := nameAt.FindString(string(rest[column-1:])); name != "" {
					return c.unknown(name)
				}
			}
		}
		return c.unknown(m[1])
	}
	if m := overload.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s does not work on %s", functionName(m[1]), typeName(m[2]))
	}
	if strings.HasPrefix(message, "Syntax error") {
		return misplaced(message)
	}
	return message
}

// typeName says double as a writer of conditions would.
func typeName(cel string) string { return strings.ReplaceAll(cel, "double", "number") }

// unknown is the reason for a name that is not in the catalogue, with the
// nearest one that is.
func (c *Compiler) unknown(name string) string {
	for _, n := range c.schema.names {
		if slices.Contains(c.schema.byName[n].Enum, name) {
			return fmt.Sprintf("write %q in quotes: it is a value, of %s", name, n)
		}
	}
	return fmt.Sprintf("there is no feature %s", name) + DidYouMean(name, c.schema.names)
}

// DidYouMean names the nearest of some names, if there is one that near: "; did
// you mean X?", else nothing.
func DidYouMean(name string, known []string) string {
	best, at := "", max(2, min(4, (len(name)+1)/2))
	for _, n := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < at {
			best, at = n, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
