package config

import (
	"fmt"
	"maps"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// mark says where a value stands.
type mark struct {
	file         string
	line, column int
}

// locate parses data and notes where each value stands, by path; body is nil
// where it says nothing. Anchors,
// aliases and tags are refused: nine lines of aliases can stand for a billion.
func locate(data []byte, name string) (body ast.Node, marks map[string]mark, err error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, nil, problemOf(err, name)
	}
	for _, d := range file.Docs {
		switch {
		case d.Body == nil || d.Body.Type() == ast.NullType || d.Body.Type() == ast.CommentType:
		case body != nil:
			return nil, nil, Problems{at(d.Body, name, "a second document; keep one to a file")}
		default:
			body = d.Body
		}
	}
	if body == nil {
		return nil, nil, nil
	}
	l := locator{file: name, marks: map[string]mark{}}
	if body.Type() != ast.MappingType && body.Type() != ast.MappingValueType {
		return nil, nil, Problems{at(body, name, "a configuration is a mapping; start with \"site: <name>\"")}
	}
	spellLateness(body)
	l.walk("", body)
	if len(l.problems) > 0 {
		return nil, nil, l.problems
	}
	return body, l.marks, nil
}

func at(n ast.Node, name, message string) Problem {
	p := place(n)
	return Problem{File: name, Line: p.Line, Column: p.Column, Message: message}
}

func place(n ast.Node) token.Position {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return *t.Position
	}
	return token.Position{Line: 1, Column: 1}
}

type locator struct {
	file     string
	marks    map[string]mark
	problems Problems
}

func (l *locator) walk(path string, n ast.Node) {
	if n == nil {
		return
	}
	p := place(n)
	m := mark{file: l.file, line: p.Line, column: p.Column}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			l.pair(path, v)
		}
		if len(n.Values) > 0 && !n.IsFlowStyle { // its own token is the first colon
			p = place(n.Values[0].Key)
			m.line, m.column = p.Line, p.Column
		}
	case *ast.MappingValueNode:
		l.pair(path, n)
		p = place(n.Key)
		m.line, m.column = p.Line, p.Column
	case *ast.SequenceNode:
		for i, v := range n.Values {
			l.walk(fmt.Sprintf("%s[%d]", path, i), v)
		}
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		l.problems = append(l.problems, at(n, l.file, "anchors, aliases and tags are not supported; write the value out"))
	}
	l.marks[path] = m
}

func (l *locator) pair(path string, v *ast.MappingValueNode) {
	k, ok := v.Key.(ast.Node)
	if _, merge := v.Key.(*ast.MergeKeyNode); merge || !ok {
		l.problems = append(l.problems, at(v, l.file, "merge keys are not supported; write the values out"))
		return
	}
	key := k.String()
	if t := k.GetToken(); t != nil {
		key = t.Value
	}
	if path != "" {
		key = path + "." + key
	}
	l.walk(key, v.Value)
}

// forget takes over the marks of a newer file. What stood within a list that
// the newer file states anew is gone.
func (c *Config) forget(newer map[string]mark) {
	old := c.marks
	c.marks = maps.Clone(newer)
	for path, m := range old {
		list, _, within := strings.Cut(path, "[")
		if _, stated := newer[list]; within && stated {
			continue
		}
		if _, stated := newer[path]; !stated {
			c.marks[path] = m
		}
	}
}

// maxNesting bounds brackets within brackets: the parser's time grows with
// the square of the depth, and its stack with the depth.
const maxNesting = 1000

func tooDeep(data []byte) bool {
	depth := 0
	for _, b := range data {
		switch b {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		}
		if depth > maxNesting {
			return true
		}
	}
	return false
}
