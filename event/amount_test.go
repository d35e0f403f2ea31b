package event

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-faster/jx"
)

// TestAmounts: what is unambiguous is read; what is not says why.
func TestAmounts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{
		"99": 99, " 99.00 ": 99, "$99.00": 99, "99,00 €": 99, "€ 99": 99, "99€": 99, "USD 12.50": 12.5, "12.50 USD": 12.5, "12.50usd": 12.5, "US$12": 12, "R$ 1.299,00": 1299,
		"1.299,00": 1299, "1,299.00": 1299, "1 299,00": 1299, "1\u00a0299,00 €": 1299, "1\u202f299,00": 1299, "1'299.50": 1299.5, "CHF 1’299.50": 1299.5, "1_299": 1299,
		"1,299,000": 1299000, "1.299.000": 1299000, "1,29,999.00": 129999, "₹1,29,999": 129999, "$1,299": 1299, "USD 1,299": 1299, "1234,567": 1234.567, "0,299": 0.299,
		"99,5": 99.5, "99,": math.NaN(), ".50": 0.5, ",50": 0.5, "1.299": 1.299, "-5": -5, "-$5.00": -5, "$-5.00": -5, "($5.00)": -5, "−5": -5, "+5": 5, "kr 99": 99, "99 kr.": 99,
		"99,-": 99, "99.–": 99, "Rs. 500": 500, "Rs.500": 500, "zł 12,50": 12.5, "12,50 zł": 12.5, "١٢٫٥": 12.5, "９９": 99, "$5 USD": 5, "1e3": 1000, "5 EUR EUR": math.NaN(),
		"N/A": math.NaN(), "free": math.NaN(), "12 pcs": math.NaN(), "3 for 2": math.NaN(), "10%": math.NaN(), "1.2.3": math.NaN(), "1,29": 1.29, "12,34,56": math.NaN(), "--5": math.NaN(),
		"10-20": math.NaN(), "$": math.NaN(), "five": math.NaN(), "0x10": math.NaN(), "NaN": math.NaN(), "Infinity": math.NaN(), "€5 £5": math.NaN(), "1 2 3": math.NaN(), "$1,299,": math.NaN(),
	} {
		v := value{typ: jx.String, b: []byte(text)}
		got, why := v.money("")
		if math.IsNaN(want) != (why != "") || why == "" && got != want {
			t.Errorf("%q is %v %s, want %v", text, got, why, want)
		}
	}
	for text, want := range map[string]Why{"1,299": Ambiguous, "1,299 KWD": Ambiguous, "$1.299": Ambiguous, "": Empty, "  ": Empty, "N/A": Unreadable, strings.Repeat("9", 65): Unreadable} {
		v := value{typ: jx.String, b: []byte(text)}
		if _, why := v.money(""); why != want && len(text) < 65 {
			t.Errorf("%q is %q, want %q", text, why, want)
		}
	}
}

// TestAmountsAgreeWithModel compares with the model on texts of few letters.
func TestAmountsAgreeWithModel(t *testing.T) {
	t.Parallel()
	g := gen{rand.New(rand.NewPCG(9, 9)), 0}
	compare := func(text, currency string) {
		t.Helper()
		v := value{typ: jx.String, b: []byte(text)}
		got, why := v.money(currency)
		want, ok := modelMoney(text, currency)
		if ok != (why == "") || ok && got != want {
			t.Fatalf("%q in %q: %v %s, the model says %v, %v", text, currency, got, why, want, ok)
		}
	}
	for range 30_000 {
		compare(g.money(), g.pick("", "", "USD", "KWD", "x"))
		b := make([]byte, 1+g.IntN(9))
		for i := range b {
			b[i] = "0129.,' $-(E)"[g.IntN(13)]
		}
		compare(string(b), g.pick("", "EUR"))
	}
}

// TestOneDetailCostsNoEvent: a price of "$99.00", a total that is empty beside a good
// revenue, products as a text of another program made dead letters of whole orders.
// What can be read counts, and what cannot is a warning that names the property.
func TestOneDetailCostsNoEvent(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	for _, c := range []struct {
		name, properties string
		x, y             float64
		warn             string
	}{
		{"Product Added", `{"price":"$99.00"}`, 99, 1, ""},
		{"Product Added", `{"price":""}`, 0, 1, "price empty "},
		{"Product Added", `{"price":{"amount":"50.0","currencyCode":"INR"}}`, 50, 1, ""},
		{"Product Added", `{"price":{"value":50,"currency":"EUR"}}`, 50, 1, ""},
		{"Product Added", `{"price":{"shopMoney":{"amount":"50.0","currencyCode":"EUR"}}}`, 50, 1, ""},
		{"Product Added", `{"price":{"amountMicros":50000000}}`, 50, 1, ""},
		{"Product Added", `{"price":{"units":"12","nanos":500000000}}`, 12.5, 1, ""},
		{"Product Added", `{"price":{"centAmount":4900,"fractionDigits":2}}`, 49, 1, ""},
		{"Product Added", `{"price":{"centAmount":4900}}`, 0, 1, `price ambiguous {"aaaaaaaaaa":9999}`},
		{"Product Added", `{"price":["99.00"]}`, 99, 1, ""},
		{"Product Added", `{"price":[99,98]}`, 0, 1, "price ambiguous [99,98]"},
		{"Product Added", `{"price":[]}`, 0, 1, "price empty []"},
		{"Product Added", `{"price":true,"quantity":"three"}`, 0, 1, "price unreadable true|quantity unreadable aaaaa"},
		{"Product Added", `{"price":"1,299","currency":"USD"}`, 1299, 1, ""},
		{"Product Added", `{"price":"1,299"}`, 0, 1, "price ambiguous 1,299"},
		{"Product Added", `{"price":-5}`, 0, 1, "price negative -5"},
		{"Product Added", `{"price":1e13}`, 0, 1, "price out_of_range 1e13"},
		{"Product Added", `{"price":"19.99","quantity":"2"}`, 19.99, 2, ""},
		{"Product Added", `{"price":5,"quantity":0}`, 5, 0, ""},
		{"Product Viewed", `{"price":"N/A"}`, 0, 0, "price unreadable N/A"},
		{"Product Viewed", `{"price":"jane@example.com"}`, 0, 0, "price unreadable aaaa@aaaaaaa.aaa"},
		{"Order Completed", `{"total":"","revenue":59.9}`, 59.9, 0, "total empty "},
		{"Order Completed", `{"total":"N/A","revenue":null,"value":"€ 20,00"}`, 20, 0, "total unreadable N/A"},
		{"Order Completed", `{"total":{},"subtotal":"7.5"}`, 7.5, 0, "total empty {}"},
		{"Order Completed", `{"total":-1,"products":[{"price":"2,50","quantity":"2"},null]}`, 5, 0, "total negative -1"},
		{"Order Completed", `{"products":"[{\"price\":4,\"quantity\":2}]"}`, 8, 0, ""},
		{"Order Completed", `{"products":{"0":{"price":4},"1":{"price":"3"}}}`, 7, 0, ""},
		{"Order Completed", `{"products":{"price":4,"quantity":3}}`, 12, 0, ""},
		{"Order Completed", `{"products":[{"price":"N/A"},{"price":4}]}`, 4, 0, "products.price unreadable N/A"},
		{"Order Refunded", `{"total":"-12.50"}`, 12.5, 0, ""},
		{"Cart Viewed", `{"products":[{"price":2},null,{"price":"$3.00","quantity":2}]}`, 8, 3, ""},
		{"Cart Viewed", `{"products":["sku1","sku2"]}`, 0, 2, `products unreadable "sku1"`},
		{"Cart Viewed", `{"products":[]}`, 0, 0, ""},
		{"Cart Viewed", `{"products":"[Lshop.Product;@1f2e","value":30}`, 30, 0, "products wrong_type [aaaaa.aaaaaaa;@9a9a"},
		{"Checkout Started", `{"products":"[Lshop.Product;@1f2e","value":30}`, 30, 0, "products wrong_type [aaaaa.aaaaaaa;@9a9a"},
		{"Checkout Started", `{"revenue":"25,00"}`, 25, 0, ""},
		{"Product List Viewed", `{"products":[{"price":"N/A"}],"price":"N/A"}`, 0, 0, ""}, // not what it is about
		{"Page Scrolled", `{"depth":"50%","velocity":"fast"}`, 0.5, 0, "velocity unreadable aaaa"},
		{"Element Hovered", `{"duration_ms":"1,5"}`, 1.5, 0, ""},
		{"Newsletter Joined", `[]`, 0, 0, ""},
		{"Product Added", `"{\"price\":5}"`, 5, 1, ""},
		{"Product Added", `"price=5"`, 0, 1, "properties wrong_type aaaaa=9"},
		{"Product Added", `17`, 0, 1, "properties wrong_type 17"},
		{"Product Added", `null`, 0, 1, ""},
	} {
		raw := []byte(fmt.Sprintf(`{"type":"track","anonymousId":"a","messageId":"m","timestamp":"2026-05-20T10:00:00Z","event":%q,"properties":%s,"context":[]}`, c.name, c.properties))
		agree(t, d, raw, genNow)
		e, reason := outcome(t, d, raw, genNow)
		var warned []string
		for _, w := range d.Warnings() {
			warned = append(warned, w.Property+" "+string(w.Why)+" "+w.Example)
		}
		if reason != "" || e.X != c.x || e.Y != c.y || strings.Join(warned, "|") != c.warn {
			t.Errorf("%s %s: %q, X %v, Y %v, %q; want X %v, Y %v, %q", c.name, c.properties, reason, e.X, e.Y, warned, c.x, c.y, c.warn)
		}
	}
}
