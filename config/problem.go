package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a configuration, and what to do about it.
// Line and Column are 1-based, 0 where the value does not come from a file.
type Problem struct {
	File         string
	Line, Column int    // of the value in the file
	Path         string // of the value, e.g. "segments[0].children[1].when"
	// CELLine and CELColumn are the place within a condition's text, 1-based;
	// 0 where the problem is not in a condition.
	CELLine, CELColumn int
	Message            string
}

// Error formats as "file:line:column: path: message".
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	if p.CELLine > 1 {
		fmt.Fprintf(&b, "line %d, ", p.CELLine)
	}
	if p.CELColumn > 0 {
		fmt.Fprintf(&b, "column %d of the condition: ", p.CELColumn)
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is an error of one problem a line. It is never returned empty.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// sorted are the problems in the order of their files, each once.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column, a.CELLine-b.CELLine, a.CELColumn-b.CELColumn)
	})
	return slices.Compact(p)
}

// problem is a problem with the value at path.
func (c *Config) problem(path, format string, args ...any) Problem {
	p := Problem{Path: path, Message: fmt.Sprintf(format, args...)}
	// A value that is not stated is placed at what encloses it.
	for at := path; at != ""; at = enclosing(at) {
		if m, ok := c.marks[at]; ok {
			p.File, p.Line, p.Column = m.file, m.line, m.column
			break
		}
	}
	return p
}

// enclosing is the path of the list or mapping around path.
func enclosing(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
