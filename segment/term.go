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
	fn      number // arithmetic
	varies  bool   // changes with time
	session bool   // changes when the session ends
}

func featureTerm(f *Feature) term {
	return term{feature: f, varies: f.Varies(), session: f.Session}
}

func (l *lowerer) term(e ast.Expr) (term, error) {
	switch e.Kind() {
	case ast.LiteralKind:
		return term{literal: e.AsLiteral()}, nil
	case ast.IdentKind, ast.SelectKind:
		f, err := l.feature(e)
		if err != nil {
			return term{}, err
		}
		return featureTerm(f), nil
	case ast.CallKind:
		return l.arithmetic(e)
	}
	return term{}, l.refuse(e, "only features, constants and arithmetic can be compared")
}

// arithmetic lowers + - * / and the sign. All numbers are doubles: 7/2 is 3.5.
func (l *lowerer) arithmetic(e ast.Expr) (term, error) {
	call := e.AsCall()
	args := call.Args()
	do := arithmetics[call.FunctionName()]
	if call.FunctionName() == operators.Negate {
		do = func(_, y float64) float64 { return -y }
	}
	if do == nil || len(args) == 0 {
		return term{}, l.refuse(e, "%s is not supported here; numbers can be combined with + - * /", functionName(call.FunctionName()))
	}
	a, x, err := l.operand(args[0])
	if err != nil {
		return term{}, err
	}
	b, y, err := l.operand(args[len(args)-1])
	if err != nil {
		return term{}, err
	}
	if a.literal != nil && b.literal != nil {
		c := do(x(nil, 0), y(nil, 0))
		if math.IsNaN(c) || math.IsInf(c, 0) {
			return term{}, l.refuse(e, "%s is not a number", l.text(e))
		}
		return term{literal: types.Double(c)}, nil
	}
	return term{varies: a.varies || b.varies, session: a.session || b.session,
		fn: func(v *View, t int64) float64 { return do(x(v, t), y(v, t)) }}, nil
}

var arithmetics = map[string]func(x, y float64) float64{
	operators.Add:      func(x, y float64) float64 { return x + y },
	operators.Subtract: func(x, y float64) float64 { return x - y },
	operators.Multiply: func(x, y float64) float64 { return x * y },
	operators.Divide:   func(x, y float64) float64 { return x / y },
}

func (l *lowerer) operand(e ast.Expr) (term, number, error) {
	t, err := l.term(e)
	if err != nil {
		return t, nil, err
	}
	n, err := t.number(l, e)
	return t, n, err
}

// number is the term as a function; features that are no numbers are refused.
func (t *term) number(l *lowerer, e ast.Expr) (number, error) {
	if t.fn != nil {
		return t.fn, nil
	}
	if f := t.feature; f != nil {
		if f.Enum != nil || f.Bool {
			return nil, l.refuse(e, "%s is not a number", f.Name)
		}
		p := &l.c.params
		return func(v *View, at int64) float64 {
			x, ok := f.Value(v, at, p)
			if !ok {
				return math.NaN()
			}
			return x
		}, nil
	}
	if x, ok := numeric(t.literal); ok {
		return func(*View, int64) float64 { return x }, nil
	}
	return nil, l.refuse(e, "a number is needed here")
}

func numeric(v ref.Val) (float64, bool) {
	switch x := v.(type) {
	case types.Int:
		return float64(x), true
	case types.Uint:
		return float64(x), true
	case types.Double:
		return float64(x), true
	}
	return 0, false
}
