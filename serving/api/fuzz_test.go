package api

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// fuzzSite is one site for all inputs of a fuzzing process.
var fuzzSite = sync.OnceValue(func() (s *site) {
	s = newSite(fuzzing{}, nil)
	s.put("d:a", s.record(abandoner))
	return s
})

// fuzzing stands for a test that ends with the process.
type fuzzing struct{ testing.TB }

func (fuzzing) Helper()           {}
func (fuzzing) Cleanup(func())    {}
func (fuzzing) Fatal(args ...any) { panic(args) }

// FuzzPersonalize: any body is answered or refused, in JSON without markup.
func FuzzPersonalize(f *testing.F) {
	for _, body := range append([]string{`{}`, `{"anonymousId":"a","event":"/cart"}`, `{"segment":"everyone/high_intent","event":{"type":"page","properties":{"path":"/","category":"x"}}}`,
		`{"event":{"context":{"page":{"url":"https://x/"},"device":{"type":"mobile"},"userAgent":"x"}},"token":"v1.e30.AA","claim":"v1.."}`, `[`, `{"event":7}`,
		`{"segment":{"served":"everyone","token":"v1.e30.AA","anonymousId":"a","offers":["v1.e30.AA",{"token":"x","state":"open"},null,[]]},"event":{"page":{"path":"/","type":"home"}},"view_ms":1e9}`,
		`{"segment":null,"event":{"page":["/"]},"offers":[{"token":"v1.e30.AA","state":"redeemed"}],"anonymousId":"a"}`}, hostile...) {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := fuzzSite().ask("POST", "/api/personalize", string(body))
		if w.Code != 200 && w.Code != 400 && w.Code != 403 && w.Code != 413 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) || strings.ContainsAny(w.Body.String(), "<>") || w.Header().Get("Cache-Control") != "private, no-store" {
			t.Errorf("%v %s", w.Header(), w.Body)
		}
	})
}

// FuzzFragment: any query gives one of the fragments that honest ones give.
func FuzzFragment(f *testing.F) {
	for _, q := range []string{"", "segment=everyone&page=home&device=mobile", "claim=v1.e30.AA&page=home", "%zz", "a=b;c=d", "segment=" + abandoner + "&segment=x&page=home"} {
		f.Add(q)
	}
	honest := sync.OnceValue(func() map[string]bool {
		s, out := fuzzSite(), map[string]bool{}
		for n := range s.Tree.Len() {
			for _, page := range []string{"home", "product"} {
				out[s.ask("GET", "/esi/hero?page="+page+"&segment="+s.Tree.Path(n), "").Body.String()] = true
			}
		}
		return out
	})
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", "/esi/hero", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		fuzzSite().mux.ServeHTTP(w, r)
		if w.Code != 200 || !honest()[w.Body.String()] {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
