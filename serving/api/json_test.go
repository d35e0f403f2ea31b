package api

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/url"
	"testing"
)

// TestAppend: strings and numbers are what encoding/json makes of them.
func TestAppend(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(15, 16))
	texts := append([]string{"", "plain", "ümläut \u2028", "\xff\xfe", "\x00\x01\x1f\x7f", "a\b\f\n\r\t\"\\/<>&'"}, hostile...)
	for range 2000 {
		b := make([]byte, r.IntN(20))
		for i := range b {
			b[i] = byte(r.IntN(130))
		}
		texts = append(texts, string(b))
	}
	for _, s := range texts {
		want, err := json.Marshal(s)
		check(t, err)
		if got := appendString([]byte("x"), s); string(got) != "x"+string(want) {
			t.Errorf("%q: %s, want %s", s, got[1:], want)
		}
	}
	numbers := []float64{0, math.Copysign(0, -1), 1, -1, 1e-6, 9.99e-7, 1e-7, 1e20, 1e21, 1e22, 1e100, 5e-324, math.MaxFloat64, 0.1, 1.0 / 3}
	for range 5000 {
		if x := math.Float64frombits(r.Uint64()); finite(x) {
			numbers = append(numbers, x)
		}
	}
	for _, x := range numbers {
		want, err := json.Marshal(x)
		check(t, err)
		if got := appendFloat(nil, x); string(got) != string(want) {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}

// FuzzParse: parameters are read as net/url reads them.
func FuzzParse(f *testing.F) {
	for _, q := range []string{"", "anonymousId=a", "userId=%61+b&token=&token=x", "%zz=1&claim=%zz&claim=ok", "a;b=c&segment=x;y&segment=z", "writeKey", "&&=&page&device=a=b", "%77riteKey=x&token=a%26b"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := parse(raw)
		q, _ := url.ParseQuery(raw)
		want := parameters{asked: asked{device: q.Get("anonymousId"), user: q.Get("userId"), token: q.Get("token"), claim: q.Get("claim"), segment: q.Get("segment")}, page: q.Get("page"), device: q.Get("device"), writeKey: q.Has("writeKey")}
		got.seen = 0
		if got != want {
			t.Errorf("%q: %+v, want %+v", raw, got, want)
		}
	})
}
