package store

import (
	"sync"
	"time"

	"github.com/microseg/microseg/transforms/latency"
)

// Histogram counts durations; it is safe for concurrent use.
type Histogram struct {
	mu sync.Mutex
	h  latency.Histogram
}

// Observe counts a duration.
func (h *Histogram) Observe(d time.Duration) {
	h.mu.Lock()
	h.h.Add(float64(d)/float64(time.Millisecond), 1)
	h.mu.Unlock()
}

// Read returns a copy of what was counted, ms.
func (h *Histogram) Read() *latency.Histogram {
	out := &latency.Histogram{}
	h.mu.Lock()
	defer h.mu.Unlock()
	out.Merge(&h.h)
	return out
}
