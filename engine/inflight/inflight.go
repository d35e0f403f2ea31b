// Package inflight counts the batches that a source has under way in this process, and bounds
// them: Prism has no back-pressure of its own. Where source and stages live in different
// processes, the bound is the runner's.
package inflight

import (
	"context"
	"sync"
	"time"

	"github.com/microseg/microseg/engine"
)

// Window counts the batches of one shard of one job.
type Window struct {
	mu    sync.Mutex
	under map[int64]*batch
	freed chan struct{}
}

// batch is one that is under way.
type batch struct {
	since   time.Time
	parts   int // elements of it that are not applied yet
	records int
}

// Windows are those of a job, by shard.
type Windows struct {
	mu sync.Mutex
	of map[int]*Window
}

// Of are the windows of a job in this process.
func Of(e *engine.Engine) *Windows {
	return engine.Part(e, func() *Windows { return &Windows{of: map[int]*Window{}} })
}

// Shard is the window of a shard; the first caller makes it.
func (ws *Windows) Shard(shard int) *Window {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.of[shard]
	if w == nil {
		w = &Window{under: map[int64]*batch{}, freed: make(chan struct{}, 1)}
		ws.of[shard] = w
	}
	return w
}

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
	now, n := time.Now(), 0
	for k, b := range w.under {
		if now.Sub(b.since) <= patience {
			n++
		} else if len(w.under) > maxLost {
			delete(w.under, k) // nobody will say that it was applied
		}
	}
	if n >= limit {
		return false
	}
	w.under[id] = &batch{since: now, parts: 1}
	return true
}

// maxLost bounds the batches of which nobody has said for long that they were applied.
const maxLost = 1024

// Holds says how many records a batch has.
func (w *Window) Holds(id int64, records int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b := w.under[id]; b != nil {
		b.records = records
	}
}

// Under is what is under way: taken from the log, and not decided yet.
type Under struct {
	Batches, Records int
	For              time.Duration // since the oldest batch was taken
}

// Under is what is under way in the window.
func (w *Window) Under() (u Under) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.under {
		u.Batches++
		u.Records += b.records
		u.For = max(u.For, time.Since(b.since))
	}
	return u
}

// Recent is how many records of the window are under way in batches that were taken
// within patience: of older ones nobody may say any more that they were applied.
func (w *Window) Recent(patience time.Duration) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.under {
		if time.Since(b.since) <= patience {
			n += b.records
		}
	}
	return n
}

// UnderOf is what is under way in all shards of a job in this process.
func UnderOf(e *engine.Engine) (all Under) {
	ws := engine.Look[Windows](e)
	if ws == nil {
		return all
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.of {
		u := w.Under()
		all.Batches += u.Batches
		all.Records += u.Records
		all.For = max(all.For, u.For)
	}
	return all
}

// Split says that the batch goes on as n more elements, each of which leaves.
func (w *Window) Split(id int64, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b := w.under[id]; b != nil {
		b.parts += n
	}
}

// Leave says that one element of the batch has been applied.
func (w *Window) Leave(id int64) {
	w.mu.Lock()
	if b := w.under[id]; b != nil {
		if b.parts--; b.parts <= 0 {
			delete(w.under, id)
		}
	}
	w.mu.Unlock()
	select {
	case w.freed <- struct{}{}:
	default:
	}
}
