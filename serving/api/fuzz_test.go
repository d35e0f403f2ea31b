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

// provenSite is one that asks for proofs, with a user on a phone.
var provenSite = sync.OnceValue(func() *site { return verifiedSite(fuzzing{}) })

// FuzzSegment: nobody reads a user's state without a proof of that user, whatever the body
// says and whatever the address says beside it. The seeds have what comes near to one.
func FuzzSegment(f *testing.F) {
	good := hashOf("ann")
	for _, body := range append([]string{`{}`, `{"anonymousId":"phone"}`, `{"anonymousId":"user:ann"}`, `{"anonymousId":"u:ann"}`, `{"userId":"ann"}`,
		`{"anonymousId":"phone","userId":"ann","proof":"` + good[1:] + `0"}`, `{"anonymousId":"phone","userId":"ann","proof":"` + hashOf("bob") + `"}`,
		`{"anonymousId":"phone","userId":"bob","proof":"` + hashOf("bob") + `"}`, `{"anonymousId":"phone","userId":"ann","proof":"e30.e30.e30"}`,
		`{"anonymousId":"phone","userId":"ann","userId":"bob","proof":"` + hashOf("bob") + `"}`, `{"anonymousid":"phone","USERID":"ann","Proof":""}`,
		`{"anonymousId":["phone"],"userId":{"a":"ann"},"proof":true}`, `{"token":"v1.e30.AA","anonymousId":"phone"}`, `[`}, hostile...) {
		for _, query := range []string{"", "anonymousId=phone", "userId=ann", "anonymousId=user:ann&userId=ann&proof=" + good[1:]} {
			f.Add([]byte(body), query)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, query string) {
		if strings.Contains(string(body)+query, good) {
			return // which the fuzzer does not come upon
		}
		for _, of := range []struct{ method, path string }{{"POST", "/api/segment"}, {"GET", "/api/segment"}, {"GET", "/api/segment/explain"}, {"POST", "/api/personalize"}} {
			r := httptest.NewRequest(of.method, of.path, strings.NewReader(string(body)))
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			provenSite().mux.ServeHTTP(w, r)
			if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s %s: %d %s", of.method, of.path, w.Code, w.Body)
			}
			var got struct {
				Known bool
				Path  string
			}
			if json.Unmarshal(w.Body.Bytes(), &got) == nil && got.Known && got.Path == cartPath {
				t.Errorf("%s %s tells of the user: %s", of.method, of.path, w.Body)
			}
		}
	})
}
