package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// shares are the rooms whose DoFns and writers belong to jobs, of which a process may have several.
var shares = []string{"transforms/", "pipelines/", "sources/", "sinks/", "rows/"}

// TestNothingOfTheProcess: what jobs share in a process is a part of their engine. A map of
// the process, by job, was emptied by nobody, or by another function each.
func TestNothingOfTheProcess(t *testing.T) {
	t.Parallel()
	for name, text := range shipped(t) {
		if !begins(name, shares) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR && guarded(g) {
				t.Errorf("%s: a variable of the package is shared under a lock (%s); make it a part of the job's engine (docs/adr/0029-engine.md)", name, names(g))
			}
		}
	}
}

// guarded reports whether the variables are, or have, a lock or a map that is shared.
func guarded(g *ast.GenDecl) (found bool) {
	ast.Inspect(g, func(n ast.Node) bool {
		if _, inner := n.(*ast.FuncLit); inner {
			return false
		}
		if s, ok := n.(*ast.SelectorExpr); ok {
			if p, ok := s.X.(*ast.Ident); ok && p.Name == "sync" && (s.Sel.Name == "Map" || s.Sel.Name == "Mutex" || s.Sel.Name == "RWMutex") {
				found = true
			}
		}
		return !found
	})
	return found
}

func names(g *ast.GenDecl) string {
	var out []string
	for _, s := range g.Specs {
		for _, n := range s.(*ast.ValueSpec).Names {
			out = append(out, n.Name)
		}
	}
	return strings.Join(out, ", ")
}
