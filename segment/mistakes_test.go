package segment

import (
	"errors"
	"strings"
	"testing"
)

// TestMistakes: cel-go's words ("Syntax error: mismatched input 'and' expecting
// <EOF>", several a mistake) told nobody what to write. All mistakes of a
// condition are said at once, each at its place.
func TestMistakes(t *testing.T) {
	t.Parallel()
	c := NewCompiler(NewSchema([]string{"price"}), testParams)
	for src, want := range map[string][]string{
		`intent > 0.5 and cart.items > 0`:           {"1:14: write && for and"},
		`intent > 0.5 AND NOT linked`:               {"1:14: write && for AND", "1:18: write ! for NOT"},
		`intent > 75%`:                              {"1:10: write 0.75, not 75%"},
		`intent > 12.5 %`:                           {"1:10: write 0.125, not 12.5 %"},
		`dwell.comparison >= 90s or idle_s > 2 min`: {"1:21: write 90, not 90s: times are in seconds", "1:25: write || for or", "1:37: write 120, not 2 min: times are in seconds"},
		`idle_s > 500ms`:                            {"1:10: write 0.5, not 500ms: times are in seconds"},
		`cart.value > $100`:                         {"1:14: write 100, not $100: amounts are in the shop's currency"},
		`cart.value > 1,000`:                        {"1:14: write 1000, not 1,000"},
		`idle_s > 1h30m`:                            {"1:10: write 5400, not 1h30m: times are in seconds"},
		`idle_s > 2 min 30 s and linked`:            {"1:10: write 150, not 2 min 30 s: times are in seconds", "1:21: write && for and"},
		`intent > 0,5`:                              {"1:10: write 0.5, not 0,5"},
		`page.type = "cart"`:                        {"1:11: write == for ="},
		`page.type <> "cart"`:                       {"1:11: write != for <>"},
		`intent => 0.5 & linked`:                    {"1:8: write >= for =>", "1:15: write && for &"},
		`page.type in ("cart", "checkout")`:         {`1:14: write a list in square brackets, such as in ["cart", "checkout"]`},
		`device.type == mobile`:                     {`1:16: write "mobile" in quotes: it is a value, of device.type`},
		`device.type == mobile and intnet > 0.5`:    {`1:16: write "mobile" in quotes`, "1:23: write && for and", "1:27: there is no feature intnet; did you mean intent?"},
		`page.type == “cart”`:                       {`1:14: write straight quotes: "cart"`},
		`(intent > 0.5`:                             {"1:1: this ( is never closed"},
		`intent > 0.5)`:                             {"1:13: nothing is open that this ) closes"},
		`page.type == "cart`:                        {"1:14: this quote is never closed"},
		`intent > `:                                 {"the condition ends too early"},
		"intent > 0.5\n  and linked":                {"2:3: write && for and"},
		`page.type == "cart and more" and linked`:   {"1:30: write && for and"},
		`linked is true`:                            {"1:8: write == for is"},
		`linked == True`:                            {"1:11: write true for True"},
		`hover.prcie > 0`:                           {"1:1: there is no feature hover.prcie; did you mean hover.price?"},
	} {
		_, err := c.Compile(src)
		if err == nil {
			t.Errorf("%s compiles", src)
			continue
		}
		got := strings.Split(err.Error(), "\n")
		if len(got) != len(want) {
			t.Errorf("%s\n got %q\nwant %q", src, got, want)
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s\n got %q\nwant %q", src, got[i], want[i])
			}
		}
		if var1 := (*CompileError)(nil); !errors.As(err, &var1) {
			t.Errorf("%s: %T", src, err)
		}
	}
}

// FuzzMistakes: whatever is written, the advice has a place in the text and no
// words of the parser.
func FuzzMistakes(f *testing.F) {
	for _, s := range []string{`intent > 75% and linked`, `"`, `a in (`, "é > 5 min\n=> ”", `\"'`, `page.type == "a\"b" and x`} {
		f.Add(s)
	}
	c := NewCompiler(NewSchema([]string{"price"}), testParams)
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 1000 {
			return
		}
		lines := strings.Split(src, "\n")
		for _, m := range c.mistaken(src) {
			if m.Line < 1 || m.Line > len(lines) || m.Column < 1 || m.Column > 1+len([]rune(lines[m.Line-1])) {
				t.Errorf("%q: %v is not in the text", src, m)
			}
		}
	})
}
