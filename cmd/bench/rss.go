package main

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/microseg/microseg/measure/usage"
)

// sampleRSS notes the resident set now and then; the returned function ends it
// and gives the samples, with a last one.
func sampleRSS(ctx context.Context, every time.Duration) func() []float64 {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var out []float64
	go func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				mu.Lock()
				out = append(out, usage.MB(os.Getpid()))
				mu.Unlock()
			}
		}
	}()
	return func() []float64 {
		cancel()
		mu.Lock()
		defer mu.Unlock()
		return append(out, usage.MB(os.Getpid()))
	}
}
