package segment

import "slices"

// FindingKind is what is wrong with a node.
type FindingKind uint8

// What Check finds.
const (
	NeverHolds     FindingKind = iota // its condition contradicts itself or those above it
	Unreachable                       // whoever meets it is taken by earlier siblings, of it or of those above
	CannotBeProved                    // too many cases to say
)

// Finding is a node that no visitor can be in, or of which that is not known.
type Finding struct {
	Node int
	Kind FindingKind
	By   []int // Unreachable: nodes that take everyone; none of them can be left out
}

// Check proves which nodes can never be reached, by Satisfiable with at most
// so many cases a question. What is below such a node is not reported again.
func (t *Tree) Check(cases int) []Finding { return t.check(0, cases, nil, nil) }

// check looks at the children of a node; path are the conditions that hold
// there, before are the earlier siblings on the way, which do not.
func (t *Tree) check(node, cases int, path []Term, before []int) (out []Finding) {
	before = slices.Clip(before)
	for _, c := range t.nodes[node].children {
		here := append(slices.Clip(path), Term{t.nodes[c].When, true})
		f := Finding{Node: c}
		_, alone := Satisfiable(cases, here...)
		_, reached := Satisfiable(cases, t.without(here, before)...)
		dead := true
		switch {
		case alone == Never:
			f.Kind = NeverHolds
		case reached == Never:
			f.Kind, f.By = Unreachable, t.takers(cases, here, before)
		default:
			f.Kind, dead = CannotBeProved, false
		}
		if dead || reached == Undecided {
			out = append(out, f)
		}
		if dead {
			continue // it takes no one from those after it
		}
		out = append(out, t.check(c, cases, here, before)...)
		before = append(before, c)
	}
	return out
}

// without adds that none of the nodes' conditions holds.
func (t *Tree) without(terms []Term, nodes []int) []Term {
	terms = slices.Clip(terms)
	for _, n := range nodes {
		terms = append(terms, Term{t.nodes[n].When, false})
	}
	return terms
}

// takers narrows nodes down to some that take everyone who meets the terms: to
// one if one does, the nearest one at that.
func (t *Tree) takers(cases int, terms []Term, nodes []int) []int {
	for i := len(nodes) - 1; i >= 0; i-- {
		if _, a := Satisfiable(cases, t.without(terms, nodes[i:i+1])...); a == Never {
			return nodes[i : i+1]
		}
	}
	left := slices.Clone(nodes)
	for i := 0; i < len(left); {
		fewer := slices.Delete(slices.Clone(left), i, i+1)
		if _, a := Satisfiable(cases, t.without(terms, fewer)...); a == Never {
			left = fewer
			continue
		}
		i++
	}
	return left
}
