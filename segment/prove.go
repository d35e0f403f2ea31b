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

// DefaultSteps bounds the prover's search for one question, to some 0.1 s.
const DefaultSteps = 100_000

func (p *prover) ask(terms []Term) (Witness, Answer) {
	var goals []goal
	for _, t := range terms {
		goals = append(goals, goal{t.Predicate.root, t.Holds})
	}
	switch {
	case p.solve(goals, nil, box{}):
		return p.witness, Possible
	case p.steps < 0:
		return nil, Undecided
	}
	return nil, Never
}

// Budget bounds the prover's work on many questions.
type Budget struct {
	Each int // steps of one question
	Left int // steps of all questions to come
}

// NewBudget allows a hundred questions as dear as can be, and any number of
// the usual ones.
func NewBudget(each int) *Budget { return &Budget{Each: each, Left: 100 * each} }

// Satisfiable looks for a visitor that meets all terms. It goes through the
// disjunctive normal form with a box of the feature space, an interval of each
// feature's domain, that every comparison cuts; it makes at most b.Each steps,
// a step being a cut, and none when the budget is spent. Known between features
// are: intent follows from live and stale_share from signal_weight; a session is
// open while idle_s is below the gap, and without one its features are 0 or
// unknown; counts are whole. Arithmetic is taken to hold and not to hold. So Never
// is a proof, and Possible means that nothing known speaks against it.
func (b *Budget) Satisfiable(terms ...Term) (Witness, Answer) {
	p := prover{steps: min(b.Each, b.Left)}
	w, answer := p.ask(terms)
	b.Left -= min(b.Each, b.Left) - max(0, p.steps)
	return w, answer
}

// Fewest narrows all down to some that are enough: to one if one is, the last
// such, and else so that none can be left out. all itself must be enough, and
// more must be enough where fewer are.
func Fewest[T any](all []T, enough func([]T) bool) []T {
	for i := len(all) - 1; i >= 0; i-- {
		if enough(all[i : i+1]) {
			return all[i : i+1]
		}
	}
	left := slices.Clone(all)
	for i := 0; i < len(left); {
		if fewer := slices.Delete(slices.Clone(left), i, i+1); enough(fewer) {
			left = fewer
			continue
		}
		i++
	}
	return left
}

// goal is a node that shall have a value.
type goal struct {
	n    node
	want bool
}

type prover struct {
	steps   int // left
	witness Witness
}

func (p *prover) cut(b box, g goal) box {
	p.steps--
	return b.cut(g)
}

// solve meets goals within b. Comparisons cut the box at once; a choice between
// goals is made when nothing else is left to do, the narrowest first.
func (p *prover) solve(goals []goal, choices [][]goal, b box) bool {
	choices = slices.Clone(choices)
	for {
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
					choices = append(choices, parts)
				} else if b = p.cut(b, g); b.empty || p.steps < 0 {
					return false
				}
			}
		}
		var possible bool
		if goals, choices, possible = p.narrow(choices, b); !possible || p.steps < 0 {
			return false
		}
		if len(goals) == 0 {
			return p.choose(choices, b)
		}
	}
}

// choose tries the parts of the narrowest choice.
func (p *prover) choose(choices [][]goal, b box) bool {
	if len(choices) == 0 {
		return p.found(b)
	}
	best := 0
	for i, c := range choices {
		if len(c) < len(choices[best]) {
			best = i
		}
	}
	rest := slices.Delete(slices.Clone(choices), best, best+1)
	for _, g := range choices[best] {
		if p.solve([]goal{g}, rest, b) {
			return true
		}
	}
	return false
}

// narrow drops choices that the box has made and parts that it has ruled out;
// what is left of a choice with one part is a goal. A choice without any part
// is impossible.
func (p *prover) narrow(choices [][]goal, b box) (goals []goal, left [][]goal, possible bool) {
	for _, parts := range choices {
		var live []goal
		made := false
		for _, g := range parts {
			if made = p.met(g, b); made {
				break
			}
			if !p.dead(g, b) {
				live = append(live, g)
			}
		}
		switch {
		case made:
		case len(live) == 0:
			return nil, nil, false
		case len(live) == 1:
			goals = append(goals, live[0])
		default:
			left = append(left, live)
		}
	}
	return goals, left, true
}

// dead reports whether the goal cannot be met anywhere in b, as far as each of
// its comparisons tells by itself.
func (p *prover) dead(g goal, b box) bool {
	switch n := g.n.(type) {
	case constant:
		return bool(n) != g.want
	case *not:
		return p.dead(goal{n.a, !g.want}, b)
	case *general:
		return false
	}
	parts, all := split(g)
	if parts == nil {
		return p.cut(b, g).empty
	}
	dead := func(g goal) bool { return p.dead(g, b) }
	if all {
		return slices.ContainsFunc(parts, dead)
	}
	return !slices.ContainsFunc(parts, func(g goal) bool { return !dead(g) })
}

// met reports whether the goal is met everywhere in b, likewise.
func (p *prover) met(g goal, b box) bool {
	switch n := g.n.(type) {
	case constant:
		return bool(n) == g.want
	case *not:
		return p.met(goal{n.a, !g.want}, b)
	case *general, *undefined, *defined:
		return false
	case *moving:
		if n.feature.undefinable() {
			return false
		}
	}
	parts, all := split(g)
	if parts == nil {
		return p.cut(b, goal{g.n, !g.want}).empty
	}
	met := func(g goal) bool { return p.met(g, b) }
	if all {
		return !slices.ContainsFunc(parts, func(g goal) bool { return !met(g) })
	}
	return slices.ContainsFunc(parts, met)
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
		return children(n.parts()), !g.want
	case *moving:
		if !g.want && n.feature.undefinable() {
			return []goal{{&undefined{n.atom}, true}, {&defined{n}, false}}, false
		}
	}
	return nil, false
}

// undefinable reports whether comparisons with the feature can be false on both sides.
func (f *Feature) undefinable() bool { return f.kind == derivedWeight || f.kind == derivedStale }
