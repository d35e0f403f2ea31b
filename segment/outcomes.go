package segment

// Outcomes is a fingerprint of what events alone change in predicates: the truth
// of their comparisons but those that move with time, which whoever has the
// decayed sums evaluates by itself. It is safe for concurrent use.
type Outcomes struct{ atoms []node }

// NewOutcomes collects the comparisons of the predicates, each once. Those on
// features that skip names are left out.
func NewOutcomes(skip func(*Feature) bool, ps ...*Predicate) *Outcomes {
	t := &Outcomes{}
	seen := map[string]bool{}
	for _, p := range ps {
		visit(p.root, func(n node) {
			text, f := "", (*Feature)(nil)
			switch n := n.(type) {
			case *stored:
				text, f = n.text, n.feature
			case *member:
				text, f = n.text, n.feature
			case *steady:
				text, f = n.text, n.feature
			case *general:
				if n.grid == 0 {
					text = n.text
				}
			}
			if text != "" && !seen[text] && (f == nil || !skip(f)) {
				seen[text] = true
				t.atoms = append(t.atoms, n)
			}
		})
	}
	return t
}

// Len is the number of comparisons.
func (t *Outcomes) Len() int { return len(t.atoms) }

// Of is the fingerprint at now (ms): the outcomes as bits where there are at
// most 64, and so exact; a hash where there are more. It allocates nothing.
func (t *Outcomes) Of(v *View, now int64) uint64 {
	var word, sum uint64
	for i, n := range t.atoms {
		if i > 0 && i%64 == 0 {
			sum, word = scramble(sum^word), 0
		}
		if n.value(v, now) {
			word |= 1 << (i % 64)
		}
	}
	return sum ^ word
}

// scramble is the finaliser of SplitMix64, a bijection.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
