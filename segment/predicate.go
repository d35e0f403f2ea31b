package segment

import (
	"slices"
	"strings"

	"github.com/microseg/microseg/session"
)

// All is the conjunction of predicates of one compiler; of none, it always holds.
func All(ps ...*Predicate) *Predicate {
	out := &Predicate{Source: "true", root: constant(true)}
	var sources []string
	for _, p := range ps {
		out.root = both(out.root, p.root)
		sources = append(sources, "("+p.Source+")")
		for _, f := range p.Features {
			if !slices.Contains(out.Features, f) {
				out.Features = append(out.Features, f)
			}
		}
	}
	if len(sources) > 0 {
		out.Source = strings.Join(sources, " && ")
	}
	return out
}

// Arithmetic reports whether the predicate computes with features: the prover
// does not look into that, so what it finds Possible may not be.
func (p *Predicate) Arithmetic() bool {
	found := false
	visit(p.root, func(n node) {
		if _, ok := n.(*general); ok {
			found = true
		}
	})
	return found
}

// Slots are the stored features that the predicate's value is made of, also by
// way of derived ones, each once and in order; the served segment is not one.
func (p *Predicate) Slots() (out []session.Slot) {
	for _, f := range p.Features {
		switch {
		case f.kind < 0 && f.tree == nil:
			out = append(out, f.slot)
		case f.kind == derivedDuration:
			out = append(out, session.SlotStart)
		case f.kind == derivedCartAge:
			out = append(out, session.SlotCartChanged)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// visit calls fn for each comparison below n.
func visit(n node, fn func(node)) {
	switch n := n.(type) {
	case conj:
		for _, c := range n {
			visit(c, fn)
		}
	case disj:
		for _, c := range n {
			visit(c, fn)
		}
	case *not:
		visit(n.a, fn)
	default:
		fn(n)
	}
}
