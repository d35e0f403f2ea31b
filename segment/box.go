package segment

import (
	"slices"

	"github.com/microseg/microseg/signal"
)

// undefined holds where the atom's feature is undefined. Only the prover uses it.
type undefined struct{ atom }

func (n *undefined) eval(v *View, now int64) (bool, int64) { return n.value(v, now), never }
func (n *undefined) rank() int                             { return rankConstant }
func (n *undefined) value(v *View, now int64) bool {
	_, ok := n.feature.Value(v, now, n.params)
	return !ok
}

// defined is a moving atom whose feature is defined. Only the prover uses it.
type defined struct{ *moving }

// side is what is left of one axis.
type side struct {
	span
	features  []*Feature // those on the axis that were asked for
	params    *Params
	undefined bool // the features have no value here
}

// box is what is left of the feature space; axes that are not in it are whole.
// It is never changed in place.
type box struct {
	sides []side
	empty bool
}

// cut returns the part of the box in which the goal, an atom, is met.
func (b box) cut(g goal) box {
	var a *atom
	undef := false
	switch n := g.n.(type) {
	case *stored:
		a = &n.atom
	case *steady:
		a = &n.atom
	case *moving:
		a = &n.atom
	case *defined:
		a = &n.atom
	case *undefined:
		a, undef = &n.atom, true
	}
	o := a.op
	if !g.want {
		o = o.negated()
	}
	out := box{sides: slices.Clone(b.sides)}
	i := slices.IndexFunc(out.sides, func(s side) bool { return s.axis() == a.feature.axis() })
	if i < 0 {
		out.sides = append(out.sides, side{span: a.feature.domain(), params: a.params, undefined: undef})
		i = len(out.sides) - 1
	}
	s := &out.sides[i]
	if !slices.Contains(s.features, a.feature) {
		s.features = append(slices.Clip(s.features), a.feature)
	}
	if s.undefined != undef {
		out.empty = true
		return out
	}
	if undef {
		return out
	}
	possible := true
	if s.span, possible = s.span.cutBy(a, o); possible {
		_, possible = s.pick()
	}
	out.empty = !possible
	return out
}

// found makes a witness of the box if there is one: with the session open, or
// else with it closed.
func (p *prover) found(b box) bool {
	for _, open := range [2]bool{true, false} {
		if w, ok := b.witness(open); ok {
			p.witness = w
			return true
		}
	}
	return false
}

func (b box) witness(open bool) (w Witness, ok bool) {
	for _, s := range b.sides {
		x := 0.
		if !s.undefined {
			if x, ok = s.at(open); !ok {
				return nil, false
			}
		}
		for _, f := range s.features {
			w = append(w, Assignment{Feature: f, Value: s.value(f, x), Undefined: s.undefined})
		}
	}
	return w, true
}

func (s *side) axis() axis { return s.features[0].axis() }

// at is a value of the side, with the session open or closed.
func (s *side) at(open bool) (x float64, ok bool) {
	sp := s.span
	if s.axis() == axisDerived+derivedIdle {
		if open {
			sp = sp.cut(opLT, s.gap())
		} else {
			sp = sp.cut(opGE, s.gap())
		}
		return sp.pick()
	}
	if s.features[0].Session && !open {
		return 0, sp.has(0)
	}
	return sp.pick()
}

func (s *side) gap() float64 { return float64(s.params.GapMS) / 1000 }

// value is the value of a feature at x on its axis.
func (s *side) value(f *Feature, x float64) float64 {
	switch f.kind {
	case derivedIntent:
		return signal.Intent(x, s.params.Kappa)
	case derivedStale:
		return 1 - x
	case derivedOpen:
		if x < s.gap() {
			return 1
		}
		return 0
	}
	return x
}
