package event

import (
	"math/rand/v2"
	"regexp"
	"testing"
	"unicode/utf8"

	"github.com/go-faster/jx"
)

// halves finds two high surrogates in a row. There jx and encoding/json both
// put U+FFFD for what is no pair, but disagree whether the second half may
// still begin one; no encoder writes such text.
var halves = regexp.MustCompile(`(?i)\\ud[89ab][0-9a-f]{2}\\ud[89ab]`)

// FuzzDecode feeds arbitrary bytes to the decoder, which must neither panic
// nor differ from the model.
func FuzzDecode(f *testing.F) {
	for _, c := range readCases(f).Cases {
		f.Add(c.record(), c.Append)
	}
	f.Add([]byte(benchRecord), int64(genNow))
	for seed := range uint64(50) {
		g := gen{rand.New(rand.NewPCG(seed, 2)), 0.05}
		f.Add([]byte(g.record()), int64(genNow))
	}
	d := newDecoder(f)
	f.Fuzz(func(t *testing.T, raw []byte, appendMS int64) {
		if appendMS > maxTime || halves.Match(raw) {
			return
		}
		agree(t, d, raw, appendMS)
	})
}

// FuzzTime compares the hand-written time parser with the standard library.
func FuzzTime(f *testing.F) {
	for _, s := range timesSeen {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkTime(t, s) })
}

// FuzzAmount compares the reader of amounts with the model.
func FuzzAmount(f *testing.F) {
	for _, s := range []string{"$99.00", "1.299,00", "1,299", "99,00 €", "1\u202f299,00", "USD 12.50", "(5.00)", "-$5", "12 pcs", "1'299.50", "99,-", "Rs. 5", ""} {
		f.Add(s, "EUR")
	}
	f.Fuzz(func(t *testing.T, s, currency string) {
		if !utf8.ValidString(s) || !utf8.ValidString(currency) {
			return
		}
		v := value{typ: jx.String, b: []byte(s)}
		got, why := v.money(currency)
		if want, ok := modelMoney(s, currency); ok != (why == "") || ok && got != want {
			t.Errorf("%q in %q is %v %s, the model says %v, %v", s, currency, got, why, want, ok)
		}
	})
}

// FuzzNumber compares the number parser with strconv.
func FuzzNumber(f *testing.F) {
	for _, s := range numbersSeen {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkNumber(t, s) })
}
