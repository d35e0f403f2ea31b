package segment

import (
	"errors"
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
)

// CompileError says where and why a predicate was refused.
type CompileError struct {
	Line, Column int // 1-based, in the predicate's text; columns count code points
	Reason       string
}

func (e *CompileError) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Reason) }

// Compiler turns CEL syntax into predicates over one schema. It is safe for
// concurrent use.
type Compiler struct {
	schema *Schema
	params Params
	env    *cel.Env
}

// DefaultRefreshMS is the grid of a Params that states none.
const DefaultRefreshMS = 120_000

// NewCompiler returns a compiler. Numbers, enumerations and booleans of the
// schema are declared to cel-go, which parses and checks types. p needs
// half-lives with Long > Live > 0 and a Kappa above 0.
func NewCompiler(s *Schema, p Params) *Compiler {
	if p.RefreshMS <= 0 {
		p.RefreshMS = DefaultRefreshMS
	}
	opts := []cel.EnvOption{cel.CrossTypeNumericComparisons(true), cel.ClearMacros()}
	for _, f := range s.Features() {
		t := cel.DoubleType
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
	Source   string
	Features []*Feature // that it names, each once
	root     node
}

// Eval is the predicate's value at now (ms) and a time after now (ms) before
// which it cannot change without an event; math.MaxInt64 when it never can.
// For a single comparison with a constant that is the first millisecond at
// which the value differs; for && and || it may be earlier than that, for
// arithmetic on what changes with time it is the next point of the refresh
// grid. It allocates nothing.
func (p *Predicate) Eval(v *View, now int64) (ok bool, next int64) { return p.root.eval(v, now) }

// Value is Eval without the time.
func (p *Predicate) Value(v *View, now int64) bool { return p.root.value(v, now) }

// Compile parses, checks and lowers src. Errors are one or several joined
// *CompileError.
func (c *Compiler) Compile(src string) (*Predicate, error) {
	a, iss := c.check(src)
	if iss.Err() != nil {
		return nil, c.explain(iss, src)
	}
	if t := a.OutputType(); !t.IsExactType(cel.BoolType) {
		return nil, &CompileError{1, 1, fmt.Sprintf("the condition gives a %s; it must be true or false", typeName(t.String()))}
	}
	l := lowerer{c: c, info: a.NativeRep().SourceInfo()}
	n, err := l.boolean(a.NativeRep().Expr())
	if err != nil {
		return nil, err
	}
	return &Predicate{Source: src, Features: l.named, root: n}, nil
}

// check parses and type-checks src. All numbers are doubles: whole literals
// become such before the check, so that dwell.cart >= 90 and 7 / 2 == 3.5 are
// what they look like.
func (c *Compiler) check(src string) (*cel.Ast, *cel.Issues) {
	a, iss := c.env.Parse(src)
	if iss.Err() != nil {
		return nil, iss
	}
	factory := ast.NewExprFactory()
	ast.PreOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.LiteralKind {
			return
		}
		if x, ok := numeric(e.AsLiteral()); ok {
			e.SetKindCase(factory.NewLiteral(e.ID(), types.Double(x)))
		}
	}))
	return c.env.Check(a)
}

// explain turns what cel-go found into compile errors, in the words of the
// catalogue. Where a known mistake is in the text, its words are about what
// follows from that.
func (c *Compiler) explain(iss *cel.Issues, src string) error {
	var errs []error
	for _, m := range c.mistaken(src) {
		errs = append(errs, m)
	}
	if len(errs) == 0 {
		for _, e := range iss.Errors() {
			line, column := max(1, e.Location.Line()), max(1, e.Location.Column()+1)
			errs = append(errs, &CompileError{line, column, c.reason(e.Message, src, line, column)})
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
