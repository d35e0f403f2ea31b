package segment

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/parser"
)

// lowerer turns a checked expression into nodes.
type lowerer struct {
	c     *Compiler
	info  *ast.SourceInfo
	named []*Feature
}

const supported = "use comparisons, &&, ||, !, in and arithmetic on numbers"

func (l *lowerer) refuse(e ast.Expr, format string, args ...any) error {
	loc := l.info.GetStartLocation(e.ID())
	column := loc.Column() + 1
	if i := strings.LastIndexByte(dotted(e), '.'); i > 0 { // cel-go gives the place of the last dot
		column = max(1, column-i)
	}
	return &CompileError{loc.Line(), column, fmt.Sprintf(format, args...)}
}

func (l *lowerer) text(e ast.Expr) string {
	s, err := parser.Unparse(e, l.info)
	if err != nil {
		return "?" // a checked expression has a text
	}
	return s
}

func (l *lowerer) boolean(e ast.Expr) (node, error) {
	switch e.Kind() {
	case ast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok {
			return constant(b), nil
		}
	case ast.IdentKind, ast.SelectKind:
		f, err := l.feature(e)
		if err != nil {
			return nil, err
		}
		if !f.Bool {
			return nil, l.refuse(e, "%s is not a condition; compare it with something", f.Name)
		}
		return l.atom(e, f, opEQ, 1), nil
	case ast.CallKind:
		return l.call(e)
	}
	return nil, l.refuse(e, "this is not supported here; %s", supported)
}

func (l *lowerer) call(e ast.Expr) (node, error) {
	call := e.AsCall()
	switch name := call.FunctionName(); name {
	case operators.LogicalAnd:
		return l.join(call.Args(), both)
	case operators.LogicalOr:
		return l.join(call.Args(), either)
	case operators.LogicalNot:
		a, err := l.boolean(call.Args()[0])
		if err != nil {
			return nil, err
		}
		return negated(a), nil
	case operators.In:
		return l.in(e, call.Args())
	default:
		if op, ok := comparisons[name]; ok {
			return l.compare(e, op, call.Args())
		}
		return nil, l.refuse(e, "%s is not supported here; %s", functionName(name), supported)
	}
}

// functionName is the operator or function as it is written.
func functionName(name string) string {
	if name == operators.Conditional {
		return "? :"
	}
	if op, ok := operators.FindReverse(name); ok && op != "" {
		return op
	}
	return name
}

func (l *lowerer) join(args []ast.Expr, how func(a, b node) node) (node, error) {
	a, err := l.boolean(args[0])
	if err != nil {
		return nil, err
	}
	b, err := l.boolean(args[1])
	if err != nil {
		return nil, err
	}
	return how(a, b), nil
}

// feature resolves a possibly dotted name.
func (l *lowerer) feature(e ast.Expr) (*Feature, error) {
	name := dotted(e)
	if f := l.c.schema.byName[name]; f != nil {
		if !slices.Contains(l.named, f) {
			l.named = append(l.named, f)
		}
		return f, nil
	}
	return nil, l.refuse(e, "%s", l.c.unknown(name))
}

func dotted(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		return dotted(e.AsSelect().Operand()) + "." + e.AsSelect().FieldName()
	}
	return ""
}

var comparisons = map[string]op{operators.Less: opLT, operators.LessEquals: opLE, operators.Greater: opGT,
	operators.GreaterEquals: opGE, operators.Equals: opEQ, operators.NotEquals: opNE}

func (l *lowerer) compare(e ast.Expr, o op, args []ast.Expr) (node, error) {
	a, err := l.term(args[0])
	if err != nil {
		return nil, err
	}
	b, err := l.term(args[1])
	if err != nil {
		return nil, err
	}
	ea, eb := args[0], args[1]
	if a.literal != nil && b.literal == nil {
		a, b, ea, eb, o = b, a, eb, ea, o.mirrored()
	}
	if !o.ordering() && (a.varies || b.varies) {
		return nil, l.refuse(e, "%s on a value that changes with time holds for an instant only; use < <= > or >=", o)
	}
	if a.feature != nil && b.literal != nil {
		return l.constantly(e, a.feature, o, eb, b.literal)
	}
	x, err := a.number(l, ea)
	if err != nil {
		return nil, err
	}
	y, err := b.number(l, eb)
	if err != nil {
		return nil, err
	}
	if a.literal != nil {
		return constant(o.holds(x(nil, 0), y(nil, 0))), nil
	}
	n := &general{op: o, a: x, b: y, session: a.session || b.session, text: l.text(e)}
	if a.varies || b.varies {
		n.grid = l.c.params.RefreshMS
	}
	return n, nil
}

// constantly lowers feature ◦ constant; eb is the constant's expression.
func (l *lowerer) constantly(e ast.Expr, f *Feature, o op, eb ast.Expr, lit ref.Val) (node, error) {
	codes, err := l.codes(eb, f, lit)
	if err != nil {
		return nil, err
	}
	switch {
	case o.ordering() && (f.Enum != nil || f.Bool):
		return nil, l.refuse(e, "%s has no order; use ==, != or in", f.Name)
	case f.tree == nil:
		return l.atom(e, f, o, codes[0]), nil
	case o == opNE:
		codes = f.others(codes)
	}
	return l.member(e, f, codes), nil
}

// member is the node of feature in set.
func (l *lowerer) member(e ast.Expr, f *Feature, set []float64) node {
	if len(set) == 0 {
		return constant(false)
	}
	return newMember(atom{feature: f, text: l.text(e), params: &l.c.params}, set, f.Session)
}

// atom is the node of feature ◦ constant.
func (l *lowerer) atom(e ast.Expr, f *Feature, o op, c float64) node {
	a := atom{op: o, c: c, feature: f, text: l.text(e), params: &l.c.params}
	switch {
	case f.Varies():
		return newMoving(a)
	case f.kind >= 0:
		return &steady{a}
	}
	return newStored(a, f.Session)
}

// codes are the numbers that a literal stands for, for the feature: one, or
// those of the nodes that are meant by a segment's name.
func (l *lowerer) codes(e ast.Expr, f *Feature, lit ref.Val) ([]float64, error) {
	if name, isName := lit.(types.String); isName && f.tree != nil {
		if nodes := f.tree.within(string(name)); len(nodes) > 0 {
			return nodes, nil
		}
		return nil, l.refuse(e, "there is no segment %q; it is one of %s%s", string(name), strings.Join(f.tree.names(), ", "), DidYouMean(string(name), f.tree.names()))
	}
	x, err := l.code(e, f, lit)
	return []float64{x}, err
}

// code is the number that a literal stands for, for the feature.
func (l *lowerer) code(e ast.Expr, f *Feature, lit ref.Val) (float64, error) {
	name, isName := lit.(types.String)
	truth, isTruth := lit.(types.Bool)
	x, isNumber := numeric(lit)
	switch {
	case f.Enum != nil && isName:
		for i, n := range f.Enum {
			if n == string(name) {
				return float64(i), nil
			}
		}
		return 0, l.refuse(e, "%s is never %q; it is one of %s%s", f.Name, string(name), strings.Join(f.Enum, ", "), DidYouMean(string(name), f.Enum))
	case f.Bool && isTruth:
		if truth {
			return 1, nil
		}
		return 0, nil
	case f.Enum == nil && !f.Bool && isNumber:
		return x, nil
	}
	return 0, l.refuse(e, "%s is %s; it cannot be compared with %s", f.Name, f.sort(), l.text(e))
}

func (l *lowerer) in(e ast.Expr, args []ast.Expr) (node, error) {
	if k := args[0].Kind(); k != ast.IdentKind && k != ast.SelectKind {
		return nil, l.refuse(args[0], "in needs a feature on its left side")
	}
	f, err := l.feature(args[0])
	if err != nil {
		return nil, err
	}
	if args[1].Kind() != ast.ListKind {
		return nil, l.refuse(args[1], "in needs a list of constants, such as %s", "page.type in [\"cart\", \"checkout\"]")
	}
	if f.Varies() {
		return nil, l.refuse(e, "in on a value that changes with time holds for an instant only; use < <= > or >=")
	}
	set, err := l.constants(f, args[1].AsList().Elements())
	if err != nil {
		return nil, err
	}
	if f.kind < 0 {
		return l.member(e, f, set), nil
	}
	var n node = constant(false)
	for _, x := range set {
		n = either(n, l.atom(e, f, opEQ, x))
	}
	return n, nil
}

func (l *lowerer) constants(f *Feature, list []ast.Expr) ([]float64, error) {
	var out []float64
	for _, e := range list {
		t, err := l.term(e)
		if err != nil {
			return nil, err
		}
		if t.literal == nil {
			return nil, l.refuse(e, "in needs a list of constants")
		}
		codes, err := l.codes(e, f, t.literal)
		if err != nil {
			return nil, err
		}
		out = append(out, codes...)
	}
	return out, nil
}
