package event

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// outcome decodes raw with d and returns the event and the reason.
func outcome(t testing.TB, d *Decoder, raw []byte, appendMS int64) (Event, Reason) {
	t.Helper()
	var e Event
	err := d.Decode(raw, Unstated, appendMS, &e)
	if err == nil {
		return e, ""
	}
	var typed *Error
	if !errors.As(err, &typed) || typed.Detail == "" {
		t.Fatalf("Decode(%s) returned %v, not an *Error with a detail", raw, err)
	}
	return e, typed.Reason
}

// agree fails unless the decoder and the model say the same of raw.
func agree(t testing.TB, d *Decoder, raw []byte, appendMS int64) Reason {
	t.Helper()
	got, reason := outcome(t, d, raw, appendMS)
	want, wantReason := model(d.cfg, raw, appendMS)
	if reason != wantReason {
		t.Fatalf("%q: reason %q, the model says %q", raw, reason, wantReason)
	}
	if reason == Malformed || reason == Oversized {
		return reason // what was learnt before may differ
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Fatalf("%q:\n got %+v\nwant %+v", raw, got, want)
	}
	return reason
}

func newDecoder(t testing.TB) *Decoder {
	t.Helper()
	d, err := NewDecoder(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDecodeAgreesWithModel compares both decoders on random records, most of
// them sensible, some with wrong types, missing parts or broken JSON.
func TestDecodeAgreesWithModel(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	seen := map[Reason]int{}
	for seed := range uint64(30_000) {
		g := gen{rand.New(rand.NewPCG(seed, 1)), 0}
		g.wrong = []float64{0, 0.02, 0.3}[seed%3]
		seen[agree(t, d, []byte(g.record()), genNow)]++
	}
	for _, r := range []Reason{"", Malformed, Future, NoConsent} {
		if seen[r] < 1000 {
			t.Errorf("only %d of the records are %q: the generator proves little", seen[r], r)
		}
	}
}

const genNow = 1_780_000_000_000 // 2026-05-28T20:26:40Z

// gen makes records; wrong is the chance that a value is of a random type.
type gen struct {
	*rand.Rand
	wrong float64
}

func (g gen) pick(s ...string) string { return s[g.IntN(len(s))] }

// maybe is the member with that chance, or nothing.
func (g gen) maybe(chance float64, key, value string) string {
	if g.Float64() >= chance {
		return ""
	}
	if g.Float64() < g.wrong {
		value = g.pick("null", "true", "false", "17", "-1", "1e400", "0.5", `""`, `"x"`, "[]", `[{"price":1}]`, "{}", `{"path":1}`, `"12.5"`, "nope", "01", `"1,5"`,
			`"$1,299.00"`, `"1.299,00 €"`, `"N/A"`, `{"amount":"50.0","currencyCode":"INR"}`, `["7"]`, `"{\"price\":3}"`, `"[{\"price\":3}]"`, `{"0":{"price":2}}`)
	}
	return g.str(key) + g.pick(":", ": ", "\n: ") + value
}

// object joins members in random order, now and then with one twice.
func (g gen) object(members ...string) string {
	var in []string
	for _, m := range members {
		if m != "" {
			in = append(in, m)
		}
	}
	g.Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
	if len(in) > 0 && g.Float64() < 0.02 {
		in = append(in, in[g.IntN(len(in))])
	}
	return "{" + g.pick("", "", " ") + strings.Join(in, g.pick(",", ", ")) + "}"
}

// str writes a JSON string; some characters as escapes, as other encoders do.
func (g gen) str(s string) string {
	var b strings.Builder
	escape := g.Float64() < 0.1
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '/' && escape:
			b.WriteString(`\/`)
		case r < 0x20:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r >= 0x10000 && g.IntN(2) == 0:
			fmt.Fprintf(&b, `\u%04x\u%04X`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		case escape && r < 0x10000 && g.IntN(3) == 0:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

func (g gen) number(scale float64) string {
	f := g.Float64() * scale
	switch g.IntN(8) {
	case 0:
		return fmt.Sprint(int(f))
	case 1:
		return fmt.Sprintf("%e", f)
	case 2:
		return fmt.Sprintf(`"%.2f"`, f)
	case 3:
		return fmt.Sprint(f)
	case 4:
		return "-" + fmt.Sprint(f/100)
	}
	return fmt.Sprintf("%.2f", f)
}

// money is an amount as somebody may write it, or nearly.
func (g gen) money() string {
	name := func() string { return g.pick("", "", "", "$", "€", "USD", "EUR ", " KWD", "Rs.", "US$", "kr", "x") }
	whole := fmt.Sprint(g.IntN(1999))
	if g.IntN(2) == 0 {
		whole = fmt.Sprint(1+g.IntN(1200)) + g.pick(",", ".", " ", "'", "\u00a0", "_") + fmt.Sprintf("%03d", g.IntN(1000))
	}
	return g.pick("", "", "", "-", "(", "+") + name() + whole + g.pick("", "", ".00", ",00", ",5", ".125", ",000", ")", ",-", "%") + name()
}

func (g gen) time(around int64) string {
	ms := around + g.Int64N(400_000) - 200_000
	switch g.IntN(6) {
	case 0:
		return fmt.Sprint(ms)
	case 1:
		zone := g.IntN(24*60) - 12*60
		at := genTime(ms + int64(zone)*60_000)
		return `"` + at[:len(at)-1] + fmt.Sprintf("%+03d:%02d", zone/60, max(zone%60, -zone%60)) + `"`
	}
	return g.str(genTime(ms))
}

func (g gen) record() string {
	around := int64(genNow)
	if g.IntN(4) == 0 {
		around += 300_000 // about the future limit
	}
	typ := g.pick("page", "screen", "track", "track", "track", "track", "track", "identify", "group", "alias", g.pick("track", "reset", "$unlink", "$rebuild"))
	event := g.name()
	return g.object(
		g.maybe(1, "type", g.str(typ)),
		g.maybe(0.95, "anonymousId", g.str(g.id())),
		g.maybe(0.3, "userId", g.str(g.id())),
		g.maybe(0.9, "previousId", g.pick(g.str(g.id()), `"null"`, `null`, "7")),
		g.maybe(0.9, "messageId", g.str(g.id())),
		g.maybe(0.97, "timestamp", g.time(around)),
		g.maybe(0.2, "originalTimestamp", g.time(around)),
		g.maybe(0.4, "sentAt", g.time(around)),
		g.maybe(0.4, "receivedAt", g.time(around)),
		g.maybe(0.98, "event", g.str(event)),
		g.maybe(0.3, "name", g.str(g.pick("About", "Guide", "Home", "Ümläut ✓"))),
		g.maybe(0.1, "category", g.str(g.pick("About", "Docs"))),
		g.maybe(0.9, "properties", g.properties()),
		g.maybe(0.8, "context", g.context()),
		g.maybe(0.1, "integrations", g.pick(`{"All":true}`, `[1,[2,{"a":"\u00e9"}]]`, `1E+2`, `-0.0`, `"tail\\"`)),
	)
}

func (g gen) id() string {
	if g.IntN(50) == 0 {
		return g.pick("", strings.Repeat("x", 512), strings.Repeat("y", 513), "日本語", "🛒\"\\\n")
	}
	return fmt.Sprintf("%x-%x", g.IntN(1000), g.IntN(1<<30))
}

func (g gen) name() string {
	if g.IntN(10) == 0 {
		return g.pick("Spec Sheet Downloaded", "Été", "Video Playback Resumed", "Something Else", "")
	}
	return g.pick(allNames...)
}

func (g gen) properties() string {
	var products []string
	for range g.IntN(4) {
		products = append(products, g.object(g.maybe(0.9, "price", g.number(500)), g.maybe(0.5, "quantity", g.pick("1", "2", "3", "0")), g.maybe(0.5, "sku", `"s"`)))
	}
	return g.object(
		g.maybe(0.1, "page_type", g.str(g.pick("product", "cart", "unknown", "bogus", "other"))),
		g.maybe(0.2, "path", g.str(g.path())),
		g.maybe(0.2, "url", g.str(g.url())),
		g.maybe(0.2, "name", g.str(g.pick("Guide", "Phone"))),
		g.maybe(0.5, "category", g.str(g.pick("electronics", "electronics.smartphone", "electronics/tv", "electronicsx", "computers.notebook", "Über"))),
		g.maybe(0.5, "product_id", g.pick(g.str(g.id()), "1004856")),
		g.maybe(0.3, "sku", g.str(g.id())),
		g.maybe(0.7, "price", g.pick(g.number(900), g.str(g.money()))),
		g.maybe(0.3, "quantity", g.pick("1", "2", "7", "0.5", "0")),
		g.maybe(0.2, "value", g.number(900)),
		g.maybe(0.2, "total", g.pick(g.number(900), g.str(g.money()))),
		g.maybe(0.1, "subtotal", g.number(900)), g.maybe(0.3, "currency", g.str(g.pick("USD", "KWD", "", "points"))), g.maybe(0.1, "content_asset_ids", g.pick(`["v1","v2"]`, `[]`, `[null,7]`)),
		g.maybe(0.2, "revenue", g.number(900)),
		g.maybe(0.4, "products", "["+strings.Join(products, ",")+"]"),
		g.maybe(0.3, "element", g.str(g.pick("price", "features", "footer"))),
		g.maybe(0.4, "duration_ms", g.number(9000)),
		g.maybe(0.6, "depth", g.pick(g.number(1), g.number(100))),
		g.maybe(0.5, "velocity", g.number(2000)),
		g.maybe(0.3, "seconds_to_half", g.number(60)),
		g.maybe(0.4, "seconds", g.number(20)),
		g.maybe(0.3, "visible", g.pick("true", "false")),
		g.maybe(0.3, "position", g.number(600)),
		g.maybe(0.2, "session_id", g.str(g.id())),
	)
}

func (g gen) path() string {
	return g.pick("/", "/product/1", "/product/1/reviews", "/product/", "/category", "/category/a/b", "/search", "/search/x",
		"/searching?q=1", "/cart/", "/cart#top", "/a/checkout/pay", "/checkout/pay", "/blog/2026/é", "cart", "?x", "/compare//")
}

func (g gen) url() string {
	return g.pick("https://shop.example", "https://shop.example?a=/b", "http://shop.example:80", "//odd", "", "mailto:x") + g.pick("", g.path())
}

func (g gen) context() string {
	return g.object(
		g.maybe(0.4, "page", g.object(g.maybe(0.8, "path", g.str(g.path())), g.maybe(0.5, "url", g.str(g.url())))),
		g.maybe(0.6, "userAgent", g.str(g.pick(agentsSeen...))),
		g.maybe(0.3, "device", g.object(g.maybe(0.8, "type", g.str(g.pick("mobile", "Desktop", "iOS", "android", "Tablet", "tv", "bot", "fridge", "a very long device type", "web", "Smart TV"))),
			g.maybe(0.3, "model", g.str(g.pick("iPad13,4", "iPhone15,2", "Pixel 8"))), g.maybe(0.2, "maxTouchPoints", g.pick("0", "5")))),
		g.maybe(0.2, "userAgentData", g.object(g.maybe(0.9, "mobile", g.pick("true", "false")), g.maybe(0.9, "platform", g.str(g.pick("Android", "macOS", "Windows", ""))),
			g.maybe(0.5, "brands", `[{"brand":"Chromium","version":"138"}]`))),
		g.maybe(0.1, "active", g.pick("true", "false", `"false"`, `"False"`, "0", `"0"`, "null", "[]", "1")),
		g.maybe(0.1, "consentManagement", g.object(g.maybe(0.7, "allowedConsentIds", g.pick(`["analytics"]`, `[]`, `["C0002","x"]`)), g.maybe(0.7, "deniedConsentIds", g.pick(`[]`, `["marketing"]`, `["Analytics"]`)))),
		g.maybe(0.3, "os", g.object(g.maybe(0.8, "name", g.str(g.pick("Windows", "Windows 11", "macOS", "Mac OS X", "iOS", "iPadOS", "Android", "Linux", "Chrome OS", "Plan 9 from Bell Labs"))))),
		g.maybe(0.5, "screen", g.object(g.maybe(0.9, "width", g.pick("390", "1920.5", "70000", "-5")), g.maybe(0.9, "height", "844"))),
		g.maybe(0.2, "consent", g.object(g.maybe(0.9, "categoryPreferences", g.object(
			g.maybe(0.7, g.pick("Analytics", "analytics", "C0002"), g.pick("true", "true", "false", `"1"`)), g.maybe(0.5, "Advertising", g.pick("true", "false")))))),
		g.maybe(0.5, "network", g.object(g.maybe(0.4, "wifi", g.pick("true", "false")), g.maybe(0.4, "cellular", "true"),
			g.maybe(0.5, "effectiveType", g.str(g.pick("slow-2g", "2g", "3G", "4g"))),
			g.maybe(0.3, "type", g.str(g.pick("wifi", "ethernet", "cellular", "none", "5g", "LTE"))))),
	)
}
