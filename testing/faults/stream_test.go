package faults

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestGenerate: a stream has as many events as asked for (one run had 198,505 of
// 200,000, by an estimate), is the same again, and sends nothing to the quiet
// partition from its time on, but what was held back.
func TestGenerate(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	whole := 0
	for seed := range uint64(6) {
		q := newQuiet(seed, start, span)
		run := func() (s *stream, out []string) {
			s, err := generate(seed, 8000, start, span, func(m message) error {
				var e struct{ Timestamp time.Time }
				if json.Unmarshal(m.body, &e) == nil && e.Timestamp.Before(start.Add(span)) && q.has(strings.TrimPrefix(m.device, "user:"), e.Timestamp) {
					t.Errorf("seed %d: %s is sent; %v", seed, m.body, &q)
				}
				out = append(out, m.device+string(m.body))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return s, out
		}
		s, first := run()
		if s.next < 8000 || s.next > 12000 {
			t.Errorf("seed %d: %d events", seed, s.next)
		}
		if _, second := run(); !slices.Equal(first, second) {
			t.Errorf("seed %d: another stream the second time", seed)
		}
		if s.quiet.from.Equal(start) {
			whole++
		}
		if s.marked["unsent"] == 0 || s.quiet.of("") == s.quiet.partition {
			t.Errorf("seed %d: %d unsent, %v", seed, s.marked["unsent"], &s.quiet)
		}
	}
	if whole == 0 || whole == 6 {
		t.Errorf("%d of 6 runs have a partition without any event", whole)
	}
}
