package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
)

// Check looks at the configuration as a whole: what Validate reports and, once
// that is clean, conditions that do not compile, segments that nobody can be
// in, rules that conflict, never fire, never win or do not fit their slots, and
// signals that can never match. nil means that the configuration makes sense;
// what could not be proved is not held against it (see Unproved), conflicts aside.
func (c *Config) Check() []Problem {
	if err := c.Validate(); err != nil {
		var p Problems
		errors.As(err, &p)
		return p
	}
	compiler := segment.NewCompiler(segment.NewSchema(c.Elements), c.SegmentParams())
	out := c.compile(compiler, "segments", c.Segments)
	if tree, err := segment.NewTree(compiler, c.SegmentSpecs()); err == nil {
		dead, _ := c.reach(tree)
		out = append(out, dead...)
		wrong, _ := c.checkRules(tree)
		out = append(out, wrong...)
	}
	for i, s := range c.Signals {
		if p, never := c.neverMatches(fmt.Sprintf("signals[%d]", i), s); never {
			out = append(out, p)
		}
	}
	return out
}

// SegmentTree compiles the tree. Errors are Problems, those of all conditions.
func (c *Config) SegmentTree() (*segment.Tree, error) {
	compiler := segment.NewCompiler(segment.NewSchema(c.Elements), c.SegmentParams())
	if problems := c.compile(compiler, "segments", c.Segments); len(problems) > 0 {
		return nil, Problems(problems)
	}
	return segment.NewTree(compiler, c.SegmentSpecs())
}

// compile compiles every condition, so that all of them are reported at once.
func (c *Config) compile(compiler *segment.Compiler, path string, list []Segment) (out []Problem) {
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if _, err := compiler.Compile(s.When); err != nil {
			out = append(out, c.conditionProblems(at+".when", err)...)
		}
		out = append(out, c.compile(compiler, at+".children", s.Children)...)
	}
	return out
}

func (c *Config) conditionProblems(path string, err error) (out []Problem) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			out = append(out, c.conditionProblems(path, e)...)
		}
		return out
	}
	p := c.problem(path, "%v", err)
	var ce *segment.CompileError
	if errors.As(err, &ce) {
		p.Message, p.CELLine, p.CELColumn = ce.Reason, ce.Line, ce.Column
	}
	return append(out, p)
}

// neverMatches finds limits that leave nothing: every measurement is at least
// 0, a scroll depth at most 1, and a page call always has a page type.
func (c *Config) neverMatches(path string, s Signal) (Problem, bool) {
	for _, q := range measurements {
		b := q.bound(s.Match)
		at := path + ".match." + q.key
		switch {
		case b.Above != nil && b.Below != nil && *b.Above >= *b.Below:
			return c.problem(at, "nothing is above %v and below %v; swap or widen them", *b.Above, *b.Below), true
		case b.Below != nil && *b.Below <= 0:
			return c.problem(at, "nothing is below %v; a %s is at least 0", *b.Below, q.key), true
		case b.Above != nil && q.key == "depth" && *b.Above >= 1:
			return c.problem(at, "nothing is above %v; a depth goes from 0 to 1, so write 70%% as 0.7", *b.Above), true
		case b.Above != nil && *b.Above >= 1e12:
			return c.problem(at, "nothing is above %v; events with more are dead letters", *b.Above), true
		}
	}
	kind, _ := event.KindOf(s.Match.Event)
	typed := slices.ContainsFunc(s.Match.PageType, func(t string) bool { return t != event.PageTypes[event.PageUnknown] })
	if kind == event.KindPage && len(s.Match.PageType) > 0 && !typed {
		return c.problem(path+".match.page_type", "a page call that no rule matches is of type other, never unknown; write %s",
			strings.Join(event.PageTypes[event.PageOther:], "")), true
	}
	return Problem{}, false
}
