package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
)

// Check looks at the configuration as a whole: what Validate reports, conditions
// that do not compile, templates that show data which their actions lack, signals
// that can never match and, once all of that is clean, segments that nobody can
// be in, and rules that conflict, never fire, never win or do not fit their slots.
// nil means that the configuration makes sense; what could not be proved is not
// held against it (see Notes), conflicts aside.
func (c *Config) Check() []Problem {
	out := c.validate()
	if len(c.validateElements()) == 0 { // they are names in conditions
		out = append(out, c.rest(out, c.conditions())...)
	}
	out = append(out, c.rest(out, c.templateData())...)
	for i, s := range c.Signals {
		if p, never := c.neverMatches(fmt.Sprintf("signals[%d]", i), s); never {
			out = append(out, p)
		}
	}
	if len(out) > 0 {
		return out
	}
	tree, err := c.SegmentTree()
	if err != nil {
		return []Problem{c.problem("segments", "%v", err)}
	}
	dead, _ := c.reach(tree)
	wrong, _ := c.checkRules(tree)
	return append(dead, wrong...)
}

// conditions compiles all conditions, those of rules also where segments have
// some that do not compile.
func (c *Config) conditions() (out []Problem) {
	compiler := segment.NewCompiler(segment.NewSchema(c.Elements), c.SegmentParams())
	out = c.compile(compiler, "segments", c.Segments)
	tree, err := segment.NewTree(compiler, sound(compiler, c.SegmentSpecs()))
	if err != nil {
		return out
	}
	out = append(out, c.scales(tree)...)
	set, err := c.RuleSet(tree)
	if p := (Problems{}); errors.As(err, &p) {
		return append(out, p...)
	}
	for i, r := range set.Rules() {
		out = append(out, c.scale(fmt.Sprintf("rules[%d].when", i), r.When)...)
	}
	return out
}

// sound is a tree with the same names, whose conditions compile.
func sound(compiler *segment.Compiler, specs []segment.Spec) []segment.Spec {
	for i := range specs {
		if _, err := compiler.Compile(specs[i].When); err != nil {
			specs[i].When = "true"
		}
		specs[i].Children = sound(compiler, specs[i].Children)
	}
	return specs
}

// scales finds comparisons of a share with what is none.
func (c *Config) scales(tree *segment.Tree) (out []Problem) {
	at := places("segments", c.Segments, []string{""})
	for id := 1; id < tree.Len(); id++ {
		out = append(out, c.scale(at[id]+".when", tree.Node(id).When)...)
	}
	return out
}

func (c *Config) scale(path string, p *segment.Predicate) (out []Problem) {
	for _, x := range p.Beyond() {
		out = append(out, c.problem(path, "%s: %s goes from 0 to 1; write %v %% as %v", x.Text, x.Feature.Name, x.Value, x.Value/100))
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
