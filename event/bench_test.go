package event

import "testing"

// benchRecord is a scroll on a product page as a browser library sends it,
// 540 bytes long.
const benchRecord = `{"type":"track","event":"Page Scrolled","anonymousId":"5f1f9dd1-2a0b-4c53-9f6b-8a5f0a7c1e42","messageId":"0c7e2b61d4f84a3fb6a1c9e0d7f35b28",` +
	`"timestamp":"2026-03-04T12:34:56.789Z","properties":{"depth":0.72,"velocity":412.5,"seconds_to_half":8.25,"category":"electronics.smartphone","price":489.9},` +
	`"context":{"page":{"path":"/product/1004856"},"userAgent":"Mozilla/5.0 (Linux; Android 14; Pixel 8a) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131 Mobile Safari/537.36",` +
	`"screen":{"width":412,"height":915},"network":{"effectiveType":"4g"}}}`

// testConfig is close to the shipped one.
func testConfig() Config {
	return Config{
		Pages: []PageRule{
			{Type: PageHome, Path: "/"},
			{Type: PageProduct, Path: "/product/*"},
			{Type: PageList, Path: "/category/**"},
			{Type: PageSearch, Path: "/search*"},
			{Type: PageComparison, Path: "/compare/**"},
			{Type: PageCart, Path: "/cart"},
			{Type: PageCheckout, Path: "/**/checkout/*"},
			{Type: PageContent, Path: "/blog/**", Name: "Guide"},
			{Type: PageContent, Name: "About"},
		},
		HighTicketCategories: []string{"electronics", "computers"},
		HighTicketMinPrice:   300,
		Elements:             []string{"price", "features", "reviews"},
		Custom:               []string{"Spec Sheet Downloaded", "Été"},
	}
}

func BenchmarkDecode(b *testing.B) {
	d, err := NewDecoder(testConfig())
	if err != nil {
		b.Fatal(err)
	}
	raw := []byte(benchRecord)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	var e Event
	for b.Loop() {
		if err := d.Decode(raw, Unstated, 1_780_000_000_000, &e); err != nil {
			b.Fatal(err)
		}
	}
}
