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

// Check proves which nodes can never be reached, by Satisfiable with at most so
// many steps a question, and a hundred times as many altogether. What is below
// such a node is not reported again.
func (t *Tree) Check(steps int) []Finding {
	c := checker{tree: t, budget: NewBudget(steps)}
	return c.check(0, nil, nil)
}

type checker struct {
	tree   *Tree
	budget *Budget
}

func (c *checker) ask(terms []Term) Answer {
	_, answer := c.budget.Satisfiable(terms...)
	return answer
}

// check looks at the children of a node; path are the conditions that hold
// there, before are the earlier siblings on the way, which do not.
func (c *checker) check(node int, path []Term, before []int) (out []Finding) {
	t := c.tree
	before = slices.Clip(before)
	for _, child := range t.nodes[node].children {
		here := append(slices.Clip(path), Term{t.nodes[child].When, true})
		f := Finding{Node: child}
		alone, reached := c.ask(here), c.ask(t.without(here, before))
		dead := true
		switch {
		case alone == Never:
			f.Kind = NeverHolds
		case reached == Never:
			f.Kind, f.By = Unreachable, c.takers(here, before)
		default:
			f.Kind, dead = CannotBeProved, false
		}
		if dead || reached == Undecided {
			out = append(out, f)
		}
		if dead {
			continue // it takes no one from those after it
		}
		out = append(out, c.check(child, here, before)...)
		before = append(before, child)
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
func (c *checker) takers(terms []Term, nodes []int) []int {
	return Fewest(nodes, func(n []int) bool { return c.ask(c.tree.without(terms, n)) == Never })
}
