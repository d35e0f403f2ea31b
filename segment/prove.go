package segment

import (
	"fmt"
	"slices"
	"strings"
)

// Term is a predicate that is wanted to hold, or not to.
type Term struct {
	Predicate *Predicate
	Holds     bool
}

// Answer is what the prover knows.
type Answer uint8

// Answers.
const (
	Possible  Answer = iota // the terms can all be met, as far as the prover sees
	Never                   // proved: they cannot
	Undecided               // too many cases
)

// Assignment is a feature's value in a witness.
type Assignment struct {
	Feature   *Feature
	Value     float64
	Undefined bool
}

func (a Assignment) String() string {
	switch {
	case a.Undefined:
		return a.Feature.Name + " undefined"
	case a.Feature.Bool:
		return fmt.Sprintf("%s = %v", a.Feature.Name, a.Value != 0)
	case a.Feature.Enum != nil:
		return a.Feature.Name + " = " + a.Feature.Enum[int(a.Value)]
	}
	return fmt.Sprintf("%s = %v", a.Feature.Name, a.Value)
}

// Witness is a visitor that meets the terms; features that it does not name
// are free. With arithmetic in the terms it is a guess.
type Witness []Assignment

func (w Witness) String() string {
	out := make([]string, len(w))
	for i, a := range w {
		out[i] = a.String()
	}
	return strings.Join(out, ", ")
}

// DefaultCases bounds the prover's search: a fraction of a second.
const DefaultCases = 20_000

// Satisfiable looks for a visitor that meets all terms. It goes through the
// disjunctive normal form box by box, at most cases of them, with an interval
// of each feature's domain. Known between features are: intent follows from
// live and stale_share from signal_weight; a session is open while idle_s is
// below the gap, and without one its features are 0 or unknown; counts are
// whole. Arithmetic is taken to hold and not to hold. So Never is a proof, and
// Possible means that nothing known speaks against it.
func Satisfiable(cases int, terms ...Term) (Witness, Answer) {
	p := prover{cases: cases}
	var goals []goal
	for _, t := range terms {
		goals = append(goals, goal{t.Predicate.root, t.Holds})
	}
	if p.solve(goals, nil, box{}) {
		return p.witness, Possible
	}
	if p.cases < 0 {
		return nil, Undecided
	}
	return nil, Never
}

// goal is a node that shall have a value.
type goal struct {
	n    node
	want bool
}

type prover struct {
	cases   int // left
	witness Witness
}

// solve meets goals within b: atoms cut the box at once, and what leaves a
// choice waits in choices until the box is as small as can be.
func (p *prover) solve(goals, choices []goal, b box) bool {
	for len(goals) > 0 {
		g := goals[len(goals)-1]
		goals = goals[:len(goals)-1]
		switch n := g.n.(type) {
		case constant:
			if bool(n) != g.want {
				return false
			}
		case *not:
			goals = append(goals, goal{n.a, !g.want})
		case *general: // both are possible
		default:
			if parts, all := split(g); all {
				goals = append(goals, parts...)
			} else if parts != nil {
				choices = append(slices.Clip(choices), g)
			} else if b = b.cut(g); b.empty {
				return false
			}
		}
	}
	if len(choices) == 0 {
		return p.found(b)
	}
	parts, _ := split(choices[0])
	for _, g := range parts {
		if p.cases--; p.cases < 0 {
			return false
		}
		if p.solve([]goal{g}, choices[1:], b) {
			return true
		}
	}
	return false
}

// split takes a goal apart: into parts that must all be met, or of which one
// must; parts is nil for an atom that cuts the box.
func split(g goal) (parts []goal, all bool) {
	children := func(list []node) (out []goal) {
		for _, c := range list {
			out = append(out, goal{c, g.want})
		}
		return out
	}
	switch n := g.n.(type) {
	case conj:
		return children(n), g.want
	case disj:
		return children(n), !g.want
	case *member:
		for _, x := range n.set {
			a := n.atom
			a.op, a.c = opEQ, x
			parts = append(parts, goal{newStored(a, n.session), g.want})
		}
		return parts, !g.want
	case *moving:
		if !g.want && n.feature.undefinable() {
			return []goal{{&undefined{n.atom}, true}, {&defined{n}, false}}, false
		}
	}
	return nil, false
}

// undefinable reports whether comparisons with the feature can be false on both sides.
func (f *Feature) undefinable() bool { return f.kind == derivedWeight || f.kind == derivedStale }
