package segment

import (
	"math"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"

	"github.com/microseg/microseg/session"
)

// model interprets a checked CEL expression over a view at one instant, from
// the formulas of the design: obviously right, and slow.
type model struct {
	schema *Schema
	params Params
	view   *View
	now    int64
	// margin is how close any comparison was to going the other way, relative
	// to its constant.
	margin float64
	// fixed are values that replace the view's, NaN for undefined ones.
	fixed map[string]float64
}

// feature is the value of a feature; ok is false where it is undefined.
func (m *model) feature(name string) (x float64, ok bool) {
	if m.fixed != nil {
		x := m.fixed[name]
		return x, !math.IsNaN(x)
	}
	v, t := m.view, float64(m.now)
	live := v.Live.Sum * math.Pow(2, -(t-float64(v.Live.Ref))/m.params.HalfLives.Live)
	long := v.Long.Sum * math.Pow(2, -(t-float64(v.Long.Ref))/m.params.HalfLives.Long)
	open := m.now < v.SessionEnd
	switch name {
	case "live":
		return live, true
	case "long":
		return long, true
	case "intent":
		return math.Min(-math.Expm1(-live/m.params.Kappa*math.Ln2), math.Nextafter(1, 0)), true // near 0, 1−2^−x is nothing
	case "signal_weight", "stale_share":
		if v.Live.Sum == 0 || v.Long.Sum == 0 {
			return 0, false
		}
		w := math.Min(1, (live/m.params.HalfLives.Live)/(long/m.params.HalfLives.Long))
		if name == "stale_share" {
			return 1 - w, true
		}
		return w, true
	case "idle_s":
		return math.Max(0, (t-float64(v.Last))/1000), true
	case "cart.age_s":
		if added := v.Values[session.SlotCartChanged]; added > 0 {
			return math.Max(0, (t-added)/1000), true
		}
		return 0, true
	case "session.open":
		return asNumber(open), true
	case "session.duration_s":
		if start := v.Values[session.SlotStart]; open && start > 0 {
			return (float64(v.Last) - start) / 1000, true
		}
		return 0, true
	case "linked":
		return asNumber(v.Linked), true
	case "devices":
		return float64(v.Devices), true
	}
	for slot, f := range m.schema.Stored() {
		if f.Name == name && (open || !f.Session) {
			return v.Values[slot], true
		}
	}
	return 0, true
}

func asNumber(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (m *model) truth(e ast.Expr) bool {
	if e.Kind() == ast.LiteralKind {
		return e.AsLiteral().Value().(bool)
	}
	if e.Kind() != ast.CallKind {
		x, _ := m.number(e, nil)
		return x != 0
	}
	args := e.AsCall().Args()
	switch name := e.AsCall().FunctionName(); name {
	case operators.LogicalAnd:
		a, b := m.truth(args[0]), m.truth(args[1])
		return a && b
	case operators.LogicalOr:
		a, b := m.truth(args[0]), m.truth(args[1])
		return a || b
	case operators.LogicalNot:
		return !m.truth(args[0])
	case operators.In:
		for _, el := range args[1].AsList().Elements() {
			if m.compare(operators.Equals, args[0], el) {
				return true
			}
		}
		return false
	default:
		return m.compare(name, args[0], args[1])
	}
}

func (m *model) compare(name string, a, b ast.Expr) bool {
	x, okx := m.number(a, b)
	y, oky := m.number(b, a)
	if !okx || !oky || math.IsNaN(x) || math.IsNaN(y) {
		return false
	}
	if x != y || m.restless(a) || m.restless(b) { // what stands still can be compared exactly
		m.margin = math.Min(m.margin, math.Abs(x-y)/math.Max(1e-300, math.Max(math.Abs(x), math.Abs(y))))
	}
	switch name {
	case operators.Less:
		return x < y
	case operators.LessEquals:
		return x <= y
	case operators.Greater:
		return x > y
	case operators.GreaterEquals:
		return x >= y
	case operators.Equals:
		return x == y
	}
	return x != y
}

func (m *model) restless(e ast.Expr) bool {
	if e.Kind() == ast.CallKind {
		return true
	}
	f := m.schema.byName[dotted(e)]
	return f != nil && f.kind >= derivedLive && f.kind <= derivedStale
}

// number is a side of a comparison; other is the opposite one, which gives the
// names of an enumeration their numbers.
func (m *model) number(e, other ast.Expr) (float64, bool) {
	switch e.Kind() {
	case ast.IdentKind, ast.SelectKind:
		return m.feature(dotted(e))
	case ast.CallKind:
		args := e.AsCall().Args()
		a, oka := m.number(args[0], nil)
		b, okb := m.number(args[len(args)-1], nil)
		switch e.AsCall().FunctionName() {
		case operators.Add:
			return a + b, oka && okb
		case operators.Subtract:
			return a - b, oka && okb
		case operators.Multiply:
			return a * b, oka && okb
		case operators.Divide:
			return a / b, oka && okb
		}
		return -a, oka
	}
	switch x := e.AsLiteral().Value().(type) {
	case int64:
		return float64(x), true
	case float64:
		return x, true
	case bool:
		return asNumber(x), true
	case string:
		for i, n := range m.schema.byName[dotted(other)].Enum {
			if n == x {
				return float64(i), true
			}
		}
	}
	return math.NaN(), false
}

// modelOf evaluates a source text by the model; margin says how close it was.
func modelOf(c *Compiler, src string, v *View, now int64) (ok bool, margin float64) {
	a, iss := c.check(src)
	if iss.Err() != nil {
		panic(iss.Err())
	}
	m := model{schema: c.schema, params: c.params, view: v, now: now, margin: math.Inf(1)}
	ok = m.truth(a.NativeRep().Expr())
	return ok, m.margin
}
