package collect_test

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkBatch is one client that sends batches of 100 events of 540 bytes
// over HTTP, each acknowledged by the embedded log in memory: the client, the
// collector and the log share the cores.
func BenchmarkBatch(b *testing.B) {
	const batch = 100
	s := start(b, nil)
	var events []string
	for i := range batch {
		events = append(events, fmt.Sprintf(`{"type":"track","event":"Page Scrolled","anonymousId":"5f1f9dd1-2a0b-4c53-9f6b-%012d","messageId":"0c7e2b61d4f84a3fb6a1c9e0d7f35b28",`+
			`"timestamp":"2026-03-04T12:34:56.789Z","properties":{"depth":0.72,"velocity":412.5,"seconds_to_half":8.25,"category":"electronics.smartphone","price":489.9},`+
			`"context":{"page":{"path":"/product/1004856"},"userAgent":"Mozilla/5.0 (Linux; Android 14; Pixel 8a) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131 Mobile Safari/537.36",`+
			`"screen":{"width":412,"height":915},"network":{"effectiveType":"4g"}}}`, i))
	}
	body := `{"sentAt":"2026-03-04T12:34:57.789Z","batch":[` + strings.Join(events, ",") + `]}`
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if r := s.post("/v1/batch", body, auth); r.code != 200 {
				b.Errorf("answered %d %s", r.code, r.body)
				return
			}
		}
	})
	b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "events/s")
}
