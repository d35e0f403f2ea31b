package attack

import (
	"context"
	"testing"
	"time"
)

// TestSilence: who waits while the node says nothing is a breach, and nobody else.
func TestSilence(t *testing.T) {
	now := time.Now()
	said := func(ready bool, lag float64) []look {
		return []look{{now.Add(-time.Hour), false, 9}, {now.Add(time.Second), ready, lag}, {now.Add(time.Hour), false, 9}}
	}
	for name, c := range map[string]struct {
		looks []look
		want  bool
	}{
		"ok and no lag": {said(true, 0), true}, "not ready": {said(false, 0), false}, "a lag": {said(true, 3), false}, "never asked": {nil, true},
	} {
		if got := silent(c.looks, now, now.Add(time.Minute)); got != c.want {
			t.Errorf("%s: silent is %v", name, got)
		}
	}
	s := &suite{canaries: &canaries{flown: []*flight{{at: now.Add(time.Minute), took: time.Minute, seen: true}}}}
	s.o.URL = "http://127.0.0.1:1"
	r := &Result{Saw: map[string]any{}}
	if err := watched(func(context.Context, *suite, *Result) error { return nil })(t.Context(), s, r); err != nil || len(r.Breaches) != 1 {
		t.Errorf("%v, breaches %v: a minute in which nobody said anything is one", err, r.Breaches)
	}
}
