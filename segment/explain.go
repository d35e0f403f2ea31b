package segment

// Condition is one comparison of a predicate as it stands at an instant.
type Condition struct {
	Text    string // as written, normalised: "idle_s >= 60.0"
	Holds   bool
	Next    int64   // earliest time (ms) at which it may change, math.MaxInt64 for never
	Feature string  // empty for arithmetic
	Value   float64 // of the feature, or of the left side of arithmetic
	Name    string  // the value of an enumeration
	Defined bool    // the value exists
}

// Verdict is a node that was looked at on the way down the tree.
type Verdict struct {
	Node       int
	Holds      bool
	Conditions []Condition // all of them, also those that did not matter
}

// Explain says how Decide came to its node at now (ms): the nodes it looked at,
// in order, with the values of their conditions. It allocates; it is for
// people, not for every event.
func (t *Tree) Explain(v *View, now int64) (out []Verdict) {
	for at := 0; ; {
		won := -1
		for _, c := range t.nodes[at].children {
			p := t.nodes[c].When
			out = append(out, Verdict{c, p.Value(v, now), p.Explain(v, now)})
			if out[len(out)-1].Holds {
				won = c
				break
			}
		}
		if won < 0 {
			return out
		}
		at = won
	}
}

// Explain lists the comparisons of the predicate with their values at now.
func (p *Predicate) Explain(v *View, now int64) []Condition { return explain(p.root, v, now, nil) }

func explain(n node, v *View, now int64, out []Condition) []Condition {
	var a *atom
	switch n := n.(type) {
	case conj:
		for _, c := range n {
			out = explain(c, v, now, out)
		}
		return out
	case disj:
		for _, c := range n {
			out = explain(c, v, now, out)
		}
		return out
	case *not:
		return explain(n.a, v, now, out)
	case *general:
		ok, next := n.eval(v, now)
		x := n.a(v, now)
		return append(out, Condition{Text: n.text, Holds: ok, Next: next, Value: x, Defined: x == x})
	case *stored:
		a = &n.atom
	case *member:
		a = &n.atom
	case *steady:
		a = &n.atom
	case *moving:
		a = &n.atom
	default:
		return out
	}
	ok, next := n.eval(v, now)
	return append(out, a.condition(v, now, ok, next))
}

func (a *atom) condition(v *View, now int64, ok bool, next int64) Condition {
	c := Condition{Text: a.text, Holds: ok, Next: next, Feature: a.feature.Name}
	c.Value, c.Defined = a.feature.Value(v, now, a.params)
	if i := int(c.Value); a.feature.Enum != nil && i >= 0 && i < len(a.feature.Enum) {
		c.Name = a.feature.Enum[i]
	}
	return c
}
