package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/microseg/microseg/session"
)

// sinkWriter takes an answer and keeps nothing.
type sinkWriter struct{ h http.Header }

func (w *sinkWriter) Header() http.Header         { return w.h }
func (w *sinkWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *sinkWriter) WriteHeader(int)             {}

// benchmark measures a route without HTTP.
func benchmark(b *testing.B, method, target, body string) {
	s := newSite(b, nil)
	rec := s.record(abandoner)
	for i := range rec.Values {
		rec.Values[i] = 1
	}
	rec.Values[session.SlotPageDwell] = 130
	s.put("d:a", rec)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		r := httptest.NewRequest(method, target, nil)
		r.Body = io.NopCloser(strings.NewReader(body))
		r.ContentLength = int64(len(body))
		s.mux.ServeHTTP(&sinkWriter{http.Header{}}, r)
	}
}

func BenchmarkSegment(b *testing.B) { benchmark(b, "GET", "/api/segment?anonymousId=a", "") }

func BenchmarkPersonalize(b *testing.B) {
	benchmark(b, "POST", "/api/personalize", `{"segment":"everyone","event":{"type":"page","properties":{"path":"/product/17","name":"A laptop","category":"computers/laptops"},"context":{"device":{"type":"desktop"}}},"anonymousId":"a"}`)
}

func BenchmarkFragment(b *testing.B) {
	benchmark(b, "GET", "/esi/hero?page=home&device=mobile&segment=everyone", "")
}

// BenchmarkNothing is what the benchmark itself costs.
func BenchmarkNothing(b *testing.B) { benchmark(b, "GET", "/nowhere", "") }
