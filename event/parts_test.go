package event

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

var timesSeen = []string{
	"1970-01-01T00:00:00Z", "2024-02-29T23:59:59.999Z", "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2000-02-29T12:00:00+05:30",
	"2026-03-04T12:34:56.7Z", "2026-03-04T12:34:56.123456789123Z", "2026-03-04T12:34:56.Z", "2026-03-04T12:34:56,5Z", "2026-03-04T12:34:56",
	"2026-03-04T12:34:56-0800", "2026-03-04T12:34:56+24:00", "2026-03-04T12:34:56-00:60", "2026-03-04T24:00:00Z", "2026-03-04T23:59:60Z",
	"2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-04-31T00:00:00Z", "1969-12-31T23:59:59.999Z",
	"1970-01-01T00:00:00+00:01", "1969-12-31T23:59:00-00:01", "2299-12-31T23:59:59.999Z", "2300-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
	"0000-01-01T00:00:00Z", "2026-03-04t12:34:56z", "2026-03-04 12:34:56Z", "2026-03-04T12:34:56+05:3", "2026-03-04T1a:34:56Z", "2026-3-4T12:34:56Z",
	"/026-03-04T12:34:56Z", "2026-03-04T12:34:5:Z", "", "Z", "2026-03-04T12:34:56.5+0530", "2026-03-04T12:34:56Zé",
	"2026-03-04T12:34:56+05", "2026-03-04 12:34:56.123 UTC", "2026-03-04 12:34:56 +0000 UTC", "2026-03-04 12:34:56 +01:00", "2026-03-04_12:34:56z", " 2026-03-04T12:34:56Z ",
	"2016-12-31T23:59:60Z", "1990-12-31T15:59:60-08:00", "2016-12-31T23:58:60Z", "2016-12-31T23:59:60.5Z", "2026-03-04T24:00:00.000Z", "2026-03-04T24:00:01Z", "2026-12-31T24:00:00+01:00",
	"2026-03-04T12:34:56\u221203:00", "2026-03-04T12:34:56-00:00", "2026-03-04T12:34:56 gmt", "2026-03-04T12:34:56GMT+1", "2026-03-04T12:34:56.,5Z", "2026-03-04x12:34:56Z",
}

func checkTime(t *testing.T, s string) {
	t.Helper()
	got, ok := parseTime([]byte(s))
	want, wantOK := modelTime(s)
	if ok != wantOK || ok && got != want {
		t.Errorf("parseTime(%q) = %d, %v; the standard library says %d, %v", s, got, ok, want, wantOK)
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	for _, s := range timesSeen {
		checkTime(t, s)
	}
	r := rand.New(rand.NewPCG(3, 3))
	for range 20_000 {
		checkTime(t, genTime(r.Int64N(maxTime+1e12)-5e11))
		b := []byte(timesSeen[r.IntN(5)])
		b[r.IntN(len(b))] = "0123456789-+:.TZtz _,"[r.IntN(21)]
		checkTime(t, string(b))
	}
}

var numbersSeen = []string{"0", "-0", "1", "-1.5", "35.79", "123456789012345", "1234567890123456", "12345678901234.5", "123456789012345.6", "0.000000000000001",
	"1e3", "1E-3", "1e", "1e+", ".5", "5.", "01", "-", "", "1.2.3", "1e400", "-1e400", "0x10", "inf", "NaN", "1_000", " 1", "1 ", "+1", "0.1", "00.1", "0e0", "9007199254740993"}

func checkNumber(t *testing.T, s string) {
	t.Helper()
	got, ok := parseNumber([]byte(s))
	want, wantOK := modelNumber(json.Number(s))
	if ok != wantOK || ok && math.Float64bits(got) != math.Float64bits(want) {
		t.Errorf("parseNumber(%q) = %v, %v; strconv says %v, %v", s, got, ok, want, wantOK)
	}
}

func TestParseNumber(t *testing.T) {
	t.Parallel()
	for _, s := range numbersSeen {
		checkNumber(t, s)
	}
	r := rand.New(rand.NewPCG(4, 4))
	for range 20_000 {
		f := r.NormFloat64() * math.Pow(10, float64(r.IntN(20)-5))
		for _, format := range []string{"%g", "%e", "%.2f", "%.0f", "%.14f"} {
			checkNumber(t, fmt.Sprintf(format, f))
		}
	}
}

func TestGlobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ glob, yes, no string }{
		{"/cart", "/cart", "/cart/x /car /cartx"},
		{"/p/*", "/p/1 /p/", "/p /p/1/2 /q/1"},
		{"/p/**", "/p /p/ /p/1 /p/1/2", "/pp /q"},
		{"/p/*.html", "/p/1.html /p/.html", "/p/1/2.html /p/1.htm"},
		{"/search*", "/search /searching", "/search/x"},
		{"**/checkout", "/checkout /a/b/checkout", "checkout /checkout/x"},
		{"/**/checkout/*", "/checkout/pay /a/b/checkout/pay", "/checkout /xcheckout/pay"},
		{"/a/**x", "/a/x /a/b/cx", "/ax /a/xy"},
		// A prefix ends where a segment does: /cartoons were the cart.
		{"/cart**", "/cart /cart/ /cart/items/1", "/cartoons /cart-2 /carts/1"},
		{"/search**/all", "/search/all /search/x/all", "/searchx/all /searching/all"},
		{"/*/cart**", "/de/cart /de/cart/1", "/de/cartoons /cart"},
		{"/*/p/*", "/de/p/1", "/p/1 /de/x/p/1 /de/p/1/2"},
		{"/a+b(c)/*", "/a+b(c)/x", "/aab(c)/x /abc/x"},
	} {
		for i, paths := range []string{c.yes, c.no} {
			for _, p := range strings.Fields(paths) {
				if got := compileGlob(c.glob).match([]byte(p)); got != (i == 0) || got != modelGlob(c.glob).MatchString(p) {
					t.Errorf("glob %s on %s: %v", c.glob, p, got)
				}
			}
		}
	}
	// A match is linear in the path, however many stars the glob has.
	compileGlob(strings.Repeat("**a", 30)).match([]byte(strings.Repeat("a", 20_000) + "b"))
}

func TestGlobsAgreeWithModel(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	word := func(letters string) string {
		b := make([]byte, r.IntN(9))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	for range 30_000 {
		g, p := word("/**ab"), word("/ab")
		if got, want := compileGlob(g).match([]byte(p)), modelGlob(g).MatchString(p); got != want {
			t.Fatalf("glob %q on %q: %v, the regular expression says %v", g, p, got, want)
		}
	}
}

func TestNewDecoderRefuses(t *testing.T) {
	t.Parallel()
	many := func(n int) (s []string) {
		for i := range n {
			s = append(s, fmt.Sprint("e", i))
		}
		return s
	}
	for name, c := range map[string]Config{
		"an empty page rule":          {Pages: []PageRule{{Type: PageCart}}},
		"a rule without a type":       {Pages: []PageRule{{Path: "/"}}},
		"an unknown page type":        {Pages: []PageRule{{Type: NumPageTypes, Path: "/"}}},
		"an element listed twice":     {Elements: []string{"price", "price"}},
		"an empty element":            {Elements: []string{""}},
		"too many elements":           {Elements: many(256)},
		"a custom event listed twice": {Custom: []string{"a", "a"}},
		"a custom event with a kind":  {Custom: []string{"Page Scrolled"}},
		"too many custom events":      {Custom: many(193)},
		"a negative limit":            {MaxBytes: -1},
	} {
		if _, err := NewDecoder(c); err == nil {
			t.Errorf("NewDecoder took %s", name)
		}
	}
	if _, err := NewDecoder(Config{Elements: many(255), Custom: many(192)}); err != nil {
		t.Error(err)
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	d, err := NewDecoder(Config{MaxPayload: 5})
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{"": "", "abc": "abc", "abcde": "abcde", "abcdef": "abcde", "abcé!": "abcé", "abcdé": "abcd",
		"ab🛒": "ab", "\x80\x80\x80\x80\x80\x80": "\x80"} {
		if got := d.Payload([]byte(in)); string(got) != want {
			t.Errorf("Payload(%q) = %q, want %q", in, got, want)
		}
	}
	raw := []byte("abc")
	if kept := d.Payload(raw); &kept[0] == &raw[0] || !utf8.Valid(kept) {
		t.Error("the payload aliases the record")
	}
}

// TestCachesAreBounded feeds more user agents and ids than the caches hold.
func TestCachesAreBounded(t *testing.T) {
	t.Parallel()
	var a agents
	for i := range maxAgents + 10 {
		a.parse(fmt.Appendf(nil, "bot-%d", i))
		if len(a.known) > maxAgents {
			t.Fatalf("%d user agents are kept", len(a.known))
		}
	}
	a.parse([]byte(strings.Repeat("x", 100_000)))
	for ua := range a.known {
		if len(ua) > maxAgentBytes {
			t.Fatalf("a user agent of %d bytes is kept", len(ua))
		}
	}
	var in interner
	for i := range 3 * internSlots {
		if s := fmt.Sprint("device-", i); in.string([]byte(s)) != s {
			t.Fatalf("interning %q changed it", s)
		}
	}
	if len(in.slots) != internSlots {
		t.Fatalf("%d slots", len(in.slots))
	}
}

// TestDecodeDoesNotAllocate pins the cost of the common case: a device that
// was seen before, no escapes.
func TestDecodeDoesNotAllocate(t *testing.T) {
	d := newDecoder(t)
	var e Event
	raw := []byte(benchRecord)
	if n := testing.AllocsPerRun(100, func() {
		if err := d.Decode(raw, Unstated, genNow, &e); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
