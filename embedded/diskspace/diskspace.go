// Package diskspace watches the file systems of the folders that a process writes,
// so that it can stop taking in data while there is still room to end in order.
package diskspace

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// LowError says that a folder's file system is nearly full.
type LowError struct {
	Dir           string
	Free, MinFree uint64 // bytes
}

func (e *LowError) Error() string {
	return fmt.Sprintf("the disk of %s is nearly full: %.1f MiB are free and %.1f MiB are kept back; nothing is lost, but nothing new is taken: make room there, or lower storage.min_free_bytes",
		e.Dir, float64(e.Free)/(1<<20), float64(e.MinFree)/(1<<20))
}

// Interval is how often the file systems are looked at.
const Interval = time.Second

// Watch looks at folders until Close.
type Watch struct {
	minFree uint64
	dirs    []string
	changed func(error)
	cancel  context.CancelFunc
	done    chan struct{}

	mu  sync.Mutex
	err error
}

// Start looks at the folders, which must exist, now and then every Interval.
// With fewer than minFree bytes for unprivileged users in one of them Err is a
// *LowError, and nil again with a tenth more. changed is called with each new
// value of Err, before Start returns if there is an error at once.
func Start(minFree uint64, changed func(error), dirs ...string) (*Watch, error) {
	w := &Watch{minFree: minFree, dirs: dirs, changed: changed, done: make(chan struct{})}
	for _, dir := range dirs {
		if _, err := Free(dir); err != nil {
			return nil, fmt.Errorf("looking at the free space of %s: %w", dir, err)
		}
	}
	w.look()
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	go w.run(ctx)
	return w, nil
}

func (w *Watch) run(ctx context.Context) {
	defer close(w.done)
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look()
		}
	}
}

func (w *Watch) look() {
	was := w.Err()
	err := lowest(w.dirs, w.minFree, was != nil)
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	if (was == nil) != (err == nil) {
		w.changed(err)
	}
}

// lowest is the error of the first folder that lacks room. One that lacked it
// must have a tenth more, or a file that grows and goes would toggle it.
func lowest(dirs []string, minFree uint64, low bool) error {
	enough := minFree
	if low {
		enough += minFree / 10
	}
	for _, dir := range dirs {
		n, err := Free(dir)
		if err != nil {
			return fmt.Errorf("looking at the free space of %s: %w", dir, err)
		}
		if n < enough {
			return &LowError{Dir: dir, Free: n, MinFree: minFree}
		}
	}
	return nil
}

// Err is what keeps the process from writing more, nil while there is room.
func (w *Watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close ends the watch.
func (w *Watch) Close() {
	w.cancel()
	<-w.done
}
