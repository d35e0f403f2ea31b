package segment

import (
	"errors"
	"testing"
)

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	c := testCompiler()
	for src, want := range map[string]string{
		"intent >":                           "1:9: the condition ends too early; something is missing behind this",
		"intend > 0.5":                       "1:1: there is no feature intend; did you mean intent?",
		"live > 1.0 &&\n  dwel.cart > 1":     "2:3: there is no feature dwel.cart; did you mean dwell.cart?",
		"something_else > 1":                 "1:1: there is no feature something_else",
		"dwell > 1":                          "1:1: there is no feature dwell",
		"device.type == \"phone\"":           "1:16: device.type is never \"phone\"; it is one of unknown, desktop, mobile, tablet, tv, bot",
		"\"phone\" != device.type":           "1:1: device.type is never \"phone\"; it is one of unknown, desktop, mobile, tablet, tv, bot",
		"device.type in [\"tv\", \"phone\"]": "1:23: device.type is never \"phone\"; it is one of unknown, desktop, mobile, tablet, tv, bot",
		"device.type < \"tv\"":               "1:13: device.type has no order; use ==, != or in",
		"session.open > false":               "1:14: session.open has no order; use ==, != or in",
		"device.type == device.os":           "1:1: device.type is not a number",
		"dwell.cart == \"long\"":             "1:12: == does not work on number, string",
		"dwell.cart == true":                 "1:12: == does not work on number, bool",
		"linked == 1":                        "1:8: == does not work on bool, number",
		"intent == 0.5":                      "1:8: == on a value that changes with time holds for an instant only; use < <= > or >=",
		"live + 1.0 != 2.0":                  "1:12: != on a value that changes with time holds for an instant only; use < <= > or >=",
		"idle_s in [1, 2]":                   "1:8: in on a value that changes with time holds for an instant only; use < <= > or >=",
		"linked ? true : false":              "1:8: ? : is not supported here; use comparisons, &&, ||, !, in and arithmetic on numbers",
		"dwell.cart % 2 == 1":                "1:12: % does not work on number, number",
		"size(device.type) > 2":              "1:5: size is not supported here; numbers can be combined with + - * /",
		"device.type.startsWith(\"m\")":      "1:23: startsWith is not supported here; use comparisons, &&, ||, !, in and arithmetic on numbers",
		"has(device.type)":                   "1:4: there is no feature has",
		"intent":                             "1:1: the condition gives a number; it must be true or false",
		"device.type":                        "1:1: the condition gives a string; it must be true or false",
		"1 + 2":                              "1:1: the condition gives a number; it must be true or false",
		"page.type in linked":                "1:11: in does not work on string, bool",
		"linked && 1.0 < 2.0 && null":        "",
		"dwell.cart in dwell.list":           "1:12: in does not work on number, number",
		"dwell.cart in [dwell.list]":         "1:16: in needs a list of constants",
		"1 in [1]":                           "1:1: in needs a feature on its left side",
		"dwell.cart > 1.0 / 0.0":             "1:18: 1.0 / 0.0 is not a number",
		"dwell.cart > [1][0]":                "",
		"session.start > 0":                  "1:1: there is no feature session.start",
	} {
		_, err := c.Compile(src)
		var ce *CompileError
		if !errors.As(err, &ce) {
			t.Errorf("%s: got %v, want a CompileError", src, err)
		} else if want != "" && err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %v", src, err, want)
		}
	}
}

func TestCompileReportsAll(t *testing.T) {
	t.Parallel()
	_, err := testCompiler().Compile("intend > 1.0 && lve > 1.0")
	many, ok := err.(interface{ Unwrap() []error })
	if !ok || len(many.Unwrap()) != 2 {
		t.Errorf("want two errors, got %v", err)
	}
}

func TestCompileAccepts(t *testing.T) {
	t.Parallel()
	c := testCompiler()
	v := &View{SessionEnd: testNow + minute, Last: testNow, Values: make([]float64, len(c.schema.Stored()))}
	v.Values[1], v.Values[2] = 7, 3 // page views, clicks
	for src, want := range map[string]bool{
		"session.page_views >= 7":                      true, // ints and floats compare freely
		"session.page_views >= 7.0":                    true,
		"7u <= session.page_views":                     true,
		"session.page_views > -1":                      true,
		"session.page_views / 2 == 3.5":                true, // all numbers are doubles
		"7 / 2 == 3.5 && -(1.5) < -1":                  true,
		"session.page_views + session.clicks > 9":      true,
		"session.page_views - session.clicks <= 3":     false,
		"session.clicks in [1, 3]":                     true,
		"session.clicks in []":                         false,
		"session.open in [true]":                       true,
		"session.open && !linked":                      true,
		"false == linked":                              true,
		"page.type == \"unknown\"":                     true,
		"signal_weight >= 0.0":                         false, // undefined without events
		"signal_weight < 5.0":                          false,
		"signal_weight + 1 < 5 || stale_share * 0 < 1": false,
		"1 < 2": true,
	} {
		p, err := c.Compile(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if ok, _ := p.Eval(v, testNow); ok != want {
			t.Errorf("%s: %v", src, ok)
		}
	}
}

// FuzzCompile: any text is refused with a place, or can be evaluated.
func FuzzCompile(f *testing.F) {
	c := testCompiler()
	for _, s := range []string{"", "intent > 0.75 || cart.items > 0", "device.type in [\"tv\"]", "!(live + 1.0 < 2.0)", "signal_weight < 0.3 && 1 < 2", "has(a.b)", "[1].map(x, x)", "{}", "-(-1) > idle_s", "\"\\x\""} {
		f.Add(s)
	}
	v := &View{SessionEnd: testNow + minute, Last: testNow, Values: make([]float64, len(c.schema.Stored()))}
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 1000 {
			return
		}
		p, err := c.Compile(src)
		if err != nil {
			if ce := (*CompileError)(nil); !errors.As(err, &ce) || ce.Line < 1 || ce.Column < 1 {
				t.Fatalf("no place: %v", err)
			}
			return
		}
		if ok, next := p.Eval(v, testNow); ok != p.Value(v, testNow) || next <= testNow {
			t.Fatalf("%v, next %d", ok, next)
		}
		p.Explain(v, testNow)
		Satisfiable(100, Term{p, true})
		Satisfiable(100, Term{p, false})
	})
}
