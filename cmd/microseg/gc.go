package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A node's garbage is that of requests, which grows with their rate, and its
// live heap the profiles. With Go's own ratio a small node collects all the
// time, while it answers; with a larger one a large node takes too much memory.
const (
	gcHeadroom = 320 << 20 // bytes of garbage that may lie about
	gcLeast    = 100       // percent of the live heap: Go's own
	gcMost     = 400
	gcEvery    = 5 * time.Second
)

// gcPercent is GOGC for a live heap of so many bytes.
func gcPercent(live uint64) int {
	return int(min(gcMost, max(gcLeast, gcHeadroom*100/max(live, 1))))
}

// tuneGC keeps GOGC in step with the live heap until the returned function is
// called, unless the environment says what it shall be.
func tuneGC(ctx context.Context) (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	ctx, stop = context.WithCancel(ctx)
	go func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for t, now := time.NewTicker(gcEvery), gcLeast; ; {
			metrics.Read(live)
			if p := gcPercent(live[0].Value.Uint64()); p != now {
				debug.SetGCPercent(p)
				now = p
			}
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
			}
		}
	}()
	return stop
}
