// Package inflight bounds how many batches a source may have under way in this
// process: the local runner has no back-pressure of its own. Where source and
// stages live in different processes, the bound is the runner's.
package inflight

import (
	"context"
	"sync"
	"time"
)

// Window counts the batches of one shard of one job.
type Window struct {
	mu    sync.Mutex
	under map[int64]time.Time // batch id → when it left
	freed chan struct{}
}

var windows sync.Map // key → *Window

// Of is the window of (job, shard); the first caller makes it.
func Of(key string) *Window {
	w, _ := windows.LoadOrStore(key, &Window{under: map[int64]time.Time{}, freed: make(chan struct{}, 1)})
	return w.(*Window)
}

// Forget drops the window; later calls of Of begin anew.
func Forget(key string) { windows.Delete(key) }

// Enter waits until fewer than limit batches are under way, or one has been
// for longer than patience (its bundle failed, or its stage is elsewhere).
func (w *Window) Enter(ctx context.Context, id int64, limit int, patience time.Duration) error {
	for {
		if w.try(id, limit, patience) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.freed:
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (w *Window) try(id int64, limit int, patience time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for k, t := range w.under {
		if now.Sub(t) > patience {
			delete(w.under, k)
		}
	}
	if len(w.under) >= limit {
		return false
	}
	w.under[id] = now
	return true
}

// Leave says that the batch has been applied.
func (w *Window) Leave(id int64) {
	w.mu.Lock()
	delete(w.under, id)
	w.mu.Unlock()
	select {
	case w.freed <- struct{}{}:
	default:
	}
}
