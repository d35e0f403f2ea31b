package segment

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// CompileError says where and why a predicate was refused.
type CompileError struct {
	Line, Column int // 1-based, in the predicate's text
	Reason       string
}

func (e *CompileError) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Reason) }

// Compiler turns CEL syntax into predicates over one schema.
type Compiler struct {
	schema *Schema
	params Params
	env    *cel.Env
}

// NewCompiler returns a compiler. Numbers, enumerations and booleans of the
// schema are declared to cel-go, which parses and checks types.
func NewCompiler(s *Schema, p Params) *Compiler {
	opts := []cel.EnvOption{cel.CrossTypeNumericComparisons(true)}
	for _, f := range s.Features() {
		t := cel.DynType // a number: ints and floats compare freely
		switch {
		case f.Enum != nil:
			t = cel.StringType
		case f.Bool:
			t = cel.BoolType
		}
		opts = append(opts, cel.Variable(f.Name, t))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		panic(fmt.Sprintf("segment: declaring the feature catalogue: %v", err)) // names are the catalogue's own
	}
	return &Compiler{schema: s, params: p, env: env}
}

// Predicate is a compiled condition. It is safe for concurrent use.
type Predicate struct {
	Source string
	root   node
}

// Eval is the predicate's value at now (ms) and the earliest time after now at
// which it may change without an event; math.MaxInt64 when it cannot.
func (p *Predicate) Eval(v *View, now int64) (ok bool, next int64) { return p.root.eval(v, now) }

// Compile parses, checks and lowers src. Errors are *CompileError.
func (c *Compiler) Compile(src string) (*Predicate, error) {
	a, iss := c.env.Compile(src)
	if iss.Err() != nil {
		return nil, celError(iss)
	}
	if t := a.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, &CompileError{1, 1, fmt.Sprintf("the condition gives a %s; it must be true or false", t)}
	}
	l := lowerer{c: c, info: a.NativeRep().SourceInfo()}
	n, err := l.boolean(a.NativeRep().Expr())
	if err != nil {
		return nil, err
	}
	return &Predicate{Source: src, root: n}, nil
}

func celError(iss *cel.Issues) error {
	var errs []error
	for _, e := range iss.Errors() {
		msg := strings.ReplaceAll(e.Message, " (in container '')", "")
		errs = append(errs, &CompileError{e.Location.Line(), e.Location.Column() + 1, msg})
	}
	return errors.Join(errs...)
}

// lowerer turns a checked expression into nodes.
type lowerer struct {
	c    *Compiler
	info *ast.SourceInfo
}

func (l *lowerer) refuse(e ast.Expr, format string, args ...any) error {
	loc := l.info.GetStartLocation(e.ID())
	return &CompileError{loc.Line(), loc.Column() + 1, fmt.Sprintf(format, args...)}
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
		return l.atom(f, opNE, 0), nil
	case ast.CallKind:
		return l.call(e)
	}
	return nil, l.refuse(e, "only comparisons, &&, ||, !, in and arithmetic on numbers are supported here")
}

func (l *lowerer) call(e ast.Expr) (node, error) {
	call := e.AsCall()
	args := call.Args()
	switch call.FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr:
		a, err := l.boolean(args[0])
		if err != nil {
			return nil, err
		}
		b, err := l.boolean(args[1])
		if err != nil {
			return nil, err
		}
		if call.FunctionName() == operators.LogicalAnd {
			return &and{a, b}, nil
		}
		return &or{a, b}, nil
	case operators.LogicalNot:
		a, err := l.boolean(args[0])
		if err != nil {
			return nil, err
		}
		return &not{a}, nil
	case operators.In:
		return l.in(e, args)
	}
	if op, ok := comparisons[call.FunctionName()]; ok {
		return l.compare(e, op, args)
	}
	return nil, l.refuse(e, "%s is not supported here; use comparisons, &&, ||, !, in and arithmetic on numbers", strings.Trim(call.FunctionName(), "_@"))
}

// feature resolves a possibly dotted name.
func (l *lowerer) feature(e ast.Expr) (*Feature, error) {
	name := dotted(e)
	if f := l.c.schema.byName[name]; f != nil {
		return f, nil
	}
	return nil, l.refuse(e, "unknown feature %q", name)
}

func dotted(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		if s := e.AsSelect(); !s.IsTestOnly() {
			return dotted(s.Operand()) + "." + s.FieldName()
		}
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
	if a.literal != nil && b.literal == nil {
		a, b, o = b, a, o.mirrored()
	}
	if (o == opEQ || o == opNE) && (a.varies() || b.varies()) {
		return nil, l.refuse(e, "== and != on a value that changes with time never hold for long; use >= or <")
	}
	if a.feature != nil && b.literal != nil {
		x, err := l.code(args, a.feature, b.literal)
		if err != nil {
			return nil, err
		}
		return l.atom(a.feature, o, x), nil
	}
	an, err := a.number(l, args[0])
	if err != nil {
		return nil, err
	}
	bn, err := b.number(l, args[1])
	if err != nil {
		return nil, err
	}
	return &general{op: o, a: an, b: bn, grid: a.varies() || b.varies(), session: true, params: &l.c.params}, nil
}

// code is the number that a literal stands for, for the feature.
func (l *lowerer) code(args []ast.Expr, f *Feature, lit ref.Val) (float64, error) {
	at := args[0]
	if at.Kind() != ast.LiteralKind && len(args) > 1 {
		at = args[1]
	}
	switch x := lit.(type) {
	case types.String:
		for i, n := range f.Enum {
			if n == string(x) {
				return float64(i), nil
			}
		}
		return 0, l.refuse(at, "%s is never %q; it is one of %s", f.Name, string(x), strings.Join(f.Enum, ", "))
	case types.Bool:
		return truth(bool(x)), nil
	case types.Int:
		return float64(x), nil
	case types.Uint:
		return float64(x), nil
	case types.Double:
		return float64(x), nil
	}
	return 0, l.refuse(at, "%s cannot be compared with a %s", f.Name, lit.Type().TypeName())
}

func (l *lowerer) in(e ast.Expr, args []ast.Expr) (node, error) {
	f, err := l.feature(args[0])
	if err != nil {
		return nil, err
	}
	if args[1].Kind() != ast.ListKind {
		return nil, l.refuse(args[1], "in needs a list of constants")
	}
	if f.Varies() {
		return nil, l.refuse(e, "in on a value that changes with time never holds for long; use >= and <")
	}
	var n node = constant(false)
	for _, el := range args[1].AsList().Elements() {
		if el.Kind() != ast.LiteralKind {
			return nil, l.refuse(el, "in needs a list of constants")
		}
		x, err := l.code([]ast.Expr{el}, f, el.AsLiteral())
		if err != nil {
			return nil, err
		}
		n = &or{n, l.atom(f, opEQ, x)}
	}
	return n, nil
}
