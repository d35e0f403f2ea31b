package segment

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/google/cel-go/common/ast"

	"github.com/microseg/microseg/signal"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// casesFile is testdata/cases.json: conditions, persons and what holds, for
// evaluators in other languages too.
type casesFile struct {
	About    []string   `json:"about"`
	Elements []string   `json:"elements"`
	Params   caseParams `json:"params"`
	Cases    []caseOf   `json:"cases"`
}

type caseParams struct {
	HalfLiveMS float64 `json:"half_life_live_ms"`
	HalfLongMS float64 `json:"half_life_long_ms"`
	Kappa      float64 `json:"kappa"`
	RefreshMS  int64   `json:"refresh_ms"`
	GapMS      int64   `json:"gap_ms"`
}

type caseOf struct {
	Name      string   `json:"name"`
	When      string   `json:"when"`
	View      caseView `json:"view"`
	Now       int64    `json:"now"`
	Want      bool     `json:"want"`
	ChangesAt *int64   `json:"changes_at"`
	Single    bool     `json:"single,omitempty"`
	Grid      bool     `json:"grid,omitempty"`
}

type caseView struct {
	Live       *caseSum           `json:"live,omitempty"`
	Long       *caseSum           `json:"long,omitempty"`
	Last       int64              `json:"last"`
	SessionEnd int64              `json:"session_end"`
	Linked     bool               `json:"linked,omitempty"`
	Devices    int                `json:"devices"`
	Values     map[string]float64 `json:"values,omitempty"`
}

type caseSum struct {
	Sum float64 `json:"sum"`
	Ref int64   `json:"ref"`
}

func (cv *caseView) view(s *Schema) *View {
	v := &View{Last: cv.Last, SessionEnd: cv.SessionEnd, Linked: cv.Linked, Devices: cv.Devices, Values: make([]float64, len(s.Stored()))}
	if cv.Live != nil {
		v.Live = signal.Decayed{Sum: cv.Live.Sum, Ref: cv.Live.Ref}
	}
	if cv.Long != nil {
		v.Long = signal.Decayed{Sum: cv.Long.Sum, Ref: cv.Long.Ref}
	}
	for slot, f := range s.Stored() {
		v.Values[slot] = cv.Values[f.Name]
	}
	return v
}

// TestCases runs the shared cases; -rewrite fills in what the model says. The
// evaluator then has to agree with it: to the millisecond for a single
// comparison, never too late for others.
func TestCases(t *testing.T) {
	t.Parallel()
	const path = "testdata/cases.json"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file casesFile
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	q := file.Params
	c := NewCompiler(NewSchema(file.Elements), Params{HalfLives: signal.HalfLives{Live: q.HalfLiveMS, Long: q.HalfLongMS}, Kappa: q.Kappa, RefreshMS: q.RefreshMS, GapMS: q.GapMS})
	for i := range file.Cases {
		in := &file.Cases[i]
		p, err := c.Compile(in.When)
		if err != nil {
			t.Fatalf("%s: %v", in.Name, err)
		}
		v := in.View.view(c.schema)
		if *rewrite {
			in.fill(t, c, p, v)
		}
		in.check(t, p, v)
	}
	if *rewrite {
		out, err := json.MarshalIndent(file, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(out, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (in *caseOf) check(t *testing.T, p *Predicate, v *View) {
	ok, next := p.Eval(v, in.Now)
	if ok != in.Want {
		t.Errorf("%s: %v", in.Name, ok)
	}
	change := never
	if in.ChangesAt != nil {
		change = *in.ChangesAt
	}
	if next <= in.Now || next > change && !in.Grid || in.Single && next != change {
		t.Errorf("%s: next is %d, it changes at %d", in.Name, next, change)
	}
	if in.Grid && next != (in.Now/p.refresh()+1)*p.refresh() && next != v.SessionEnd {
		t.Errorf("%s: next is %d, not on the grid", in.Name, next)
	}
}

// refresh is the grid of a predicate that is one comparison with arithmetic.
func (p *Predicate) refresh() int64 { return p.root.(*general).grid }

// fill asks the model: the value, and the first change among the instants at
// which an atom of the condition changes, found by bisection.
func (in *caseOf) fill(t *testing.T, c *Compiler, p *Predicate, v *View) {
	a, iss := c.check(in.When)
	if iss.Err() != nil {
		t.Fatal(iss.Err())
	}
	at := func(e ast.Expr, now int64) bool {
		m := model{schema: c.schema, params: c.params, view: v, now: now, margin: math.Inf(1)}
		return m.truth(e)
	}
	root := a.NativeRep().Expr()
	in.Want, in.ChangesAt, in.Single = at(root, in.Now), nil, false
	if g, ok := p.root.(*general); ok {
		in.Grid = g.grid > 0
		return
	}
	instants := []int64{v.SessionEnd}
	for _, e := range comparisonsIn(root) {
		instants = append(instants, firstChange(in.Now, func(t int64) bool { return at(e, t) }))
	}
	in.Single = len(instants) == 2
	slices.Sort(instants)
	for _, i := range instants {
		if i > in.Now && i != never && at(root, i) != in.Want {
			in.ChangesAt = &i
			return
		}
	}
}

// firstChange bisects over 30 days (later the model's sums are below the
// floats); an atom changes once, the session's end aside.
func firstChange(now int64, ok func(int64) bool) int64 {
	lo, hi, was := now, now+30*24*60*minute, ok(now)
	if ok(hi) == was {
		return never
	}
	for lo+1 < hi {
		if mid := lo + (hi-lo)/2; ok(mid) == was {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

func comparisonsIn(e ast.Expr) (out []ast.Expr) {
	if e.Kind() == ast.CallKind {
		switch e.AsCall().FunctionName() {
		case "_&&_", "_||_", "!_":
			for _, a := range e.AsCall().Args() {
				out = append(out, comparisonsIn(a)...)
			}
			return out
		}
	}
	if e.Kind() == ast.LiteralKind {
		return nil
	}
	return []ast.Expr{e}
}
