package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
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

// startProfile writes a CPU profile to path until the returned function is called.
func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("making the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("profiling: %w", err)
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

// writeHeap writes what lives on the heap, as a profile.
func writeHeap(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("making the profile: %w", err)
	}
	runtime.GC()
	err = pprof.WriteHeapProfile(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("profiling: %w", err)
	}
	return nil
}
