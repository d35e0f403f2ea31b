package segment

// Comparison is one comparison of a feature with a constant.
type Comparison struct {
	Feature *Feature
	Value   float64
	Text    string
}

// Beyond are the comparisons of shares, which go from 0 to 1, with constants
// above 1: they hold for everybody or nobody, and mostly mean a percentage.
func (p *Predicate) Beyond() (out []Comparison) {
	add := func(a *atom) {
		if f := a.feature; f.Max == 1 && f.Enum == nil && !f.Bool && a.c > 1 {
			out = append(out, Comparison{f, a.c, a.text})
		}
	}
	visit(p.root, func(n node) {
		switch n := n.(type) {
		case *stored:
			add(&n.atom)
		case *steady:
			add(&n.atom)
		case *moving:
			add(&n.atom)
		}
	})
	return out
}
