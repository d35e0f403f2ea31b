package segment

import (
	"math"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// term is one side of a comparison: a literal, a feature, or arithmetic.
type term struct {
	literal ref.Val
	feature *Feature
	fn      number
	time    bool // arithmetic over something that varies
}

// number computes a value at t; NaN where it is undefined.
type number func(v *View, t int64) float64

func (t *term) varies() bool { return t.time || t.feature != nil && t.feature.Varies() }

func (l *lowerer) term(e ast.Expr) (term, error) {
	switch e.Kind() {
	case ast.LiteralKind:
		return term{literal: e.AsLiteral()}, nil
	case ast.IdentKind, ast.SelectKind:
		f, err := l.feature(e)
		return term{feature: f}, err
	case ast.CallKind:
		return l.arithmetic(e)
	}
	return term{}, l.refuse(e, "only features, constants and arithmetic can be compared")
}

func (l *lowerer) arithmetic(e ast.Expr) (term, error) {
	call := e.AsCall()
	args := call.Args()
	a, err := l.term(args[0])
	if err != nil {
		return term{}, err
	}
	x, err := a.number(l, args[0])
	if err != nil {
		return term{}, err
	}
	if call.FunctionName() == operators.Negate {
		if c, ok := a.literal.(types.Double); ok {
			return term{literal: -c}, nil
		}
		if c, ok := a.literal.(types.Int); ok {
			return term{literal: -c}, nil
		}
		return term{fn: func(v *View, t int64) float64 { return -x(v, t) }, time: a.varies()}, nil
	}
	if len(args) != 2 {
		return term{}, l.refuse(e, "only + - * / work on numbers here")
	}
	b, err := l.term(args[1])
	if err != nil {
		return term{}, err
	}
	y, err := b.number(l, args[1])
	if err != nil {
		return term{}, err
	}
	out := term{time: a.varies() || b.varies()}
	switch call.FunctionName() {
	case operators.Add:
		out.fn = func(v *View, t int64) float64 { return x(v, t) + y(v, t) }
	case operators.Subtract:
		out.fn = func(v *View, t int64) float64 { return x(v, t) - y(v, t) }
	case operators.Multiply:
		out.fn = func(v *View, t int64) float64 { return x(v, t) * y(v, t) }
	case operators.Divide:
		out.fn = func(v *View, t int64) float64 { return x(v, t) / y(v, t) }
	default:
		return term{}, l.refuse(e, "only + - * / work on numbers here")
	}
	return out, nil
}

func (t *term) number(l *lowerer, e ast.Expr) (number, error) {
	switch {
	case t.fn != nil:
		return t.fn, nil
	case t.feature != nil:
		if t.feature.Enum != nil || t.feature.Bool {
			return nil, l.refuse(e, "%s is not a number", t.feature.Name)
		}
		f, s, p := t.feature, l.c.schema, &l.c.params
		return func(v *View, at int64) float64 {
			x, ok := s.value(f, v, at, p)
			if !ok {
				return math.NaN()
			}
			return x
		}, nil
	}
	switch x := t.literal.(type) {
	case types.Int:
		return func(*View, int64) float64 { return float64(x) }, nil
	case types.Uint:
		return func(*View, int64) float64 { return float64(x) }, nil
	case types.Double:
		return func(*View, int64) float64 { return float64(x) }, nil
	}
	return nil, l.refuse(e, "a number is needed here")
}
