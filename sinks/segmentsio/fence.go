package segmentsio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrFenced says that another process publishes now.
var ErrFenced = errors.New("another process publishes this job's segments; stop one of them (a process that was paused or cut off stops here by itself; one that the log did not hear of for 15 minutes, too: start it again)")

// A fenced writer has a transaction open all the time, because that is what a log
// refuses to anybody but the last that claimed its id. Readers do not wait for
// its end: they read what is there, as they do without one.
const (
	// commitEvery bounds what an aborted transaction takes along. Only the log's
	// compaction minds, and what a killed job had published since is published
	// again by the next one: snapshots are complete when Flush was.
	commitEvery = 10 * time.Second
	// lasts is how long the log keeps a transaction of which it hears nothing;
	// brokers allow no more by default.
	lasts = 15 * time.Minute
)

// fence is what a writer that has claimed a topic has in addition.
type fence struct {
	mu    sync.RWMutex // written to by who ends a transaction
	open  atomic.Bool  // something was published in it
	stop  chan struct{}
	ended sync.WaitGroup
	once  sync.Once
}

// Claim opens the job's writer in this process, and takes the topic over: from
// here on the log refuses everything that an earlier process with the same
// Config.Fence still sends, also what was under way while that one stood still.
// Without it such a zombie told readers its past, where they could not know: they
// drop older records of a key only until they are told to forget it.
func Claim(ctx context.Context, cfg Config) error {
	w, err := claim(ctx, cfg)
	if err != nil {
		return err
	}
	writersMu.Lock()
	defer writersMu.Unlock()
	writers[cfg.Job] = w
	return nil
}

func claim(ctx context.Context, cfg Config) (*Writer, error) {
	w, err := open(cfg, kgo.TransactionalID(cfg.Fence), kgo.TransactionTimeout(lasts))
	if err != nil {
		return nil, err
	}
	// The client would ask for its id with the first record: maybe long after
	// another process has claimed, and then take the topic away from it.
	_, _, err = w.cl.ProducerID(ctx)
	if err == nil {
		err = w.cl.BeginTransaction()
	}
	if err != nil {
		w.cl.Close()
		return nil, fmt.Errorf("claiming topic %q (transactional id %q): %w", cfg.Topic, cfg.Fence, err)
	}
	w.fence = &fence{stop: make(chan struct{})}
	w.fence.ended.Go(w.keep)
	return w, nil
}

// keep ends transactions now and then.
func (w *Writer) keep() {
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.fence.stop:
			return
		case <-tick.C:
		}
		if err := w.commit(context.Background()); err != nil {
			slog.Error("publishing segments", "err", err)
			return // the next batch tells of it
		}
	}
}

func (f *fence) end() {
	f.once.Do(func() { close(f.stop) })
	f.ended.Wait()
}

// commit waits until the log has everything, ends the transaction and begins the
// next one.
func (w *Writer) commit(ctx context.Context) error {
	w.fence.mu.Lock()
	defer w.fence.mu.Unlock()
	if err := w.Err(); err != nil || !w.fence.open.Load() {
		return err
	}
	if err := w.cl.Flush(ctx); err != nil {
		return fmt.Errorf("publishing to topic %q: %w", w.topic, err)
	}
	if err := w.Err(); err != nil {
		return err
	}
	// Half-way nobody could say whether it was ended: this is not cancelled.
	err := w.cl.EndTransaction(context.WithoutCancel(ctx), kgo.TryCommit)
	if err == nil {
		err = w.cl.BeginTransaction()
	}
	if err != nil {
		return w.fail(err)
	}
	w.fence.open.Store(false)
	return nil
}

// fenced makes the log's words for it ErrFenced.
func fenced(err error) error {
	for _, e := range []error{kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidProducerIDMapping} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrFenced, err)
		}
	}
	return err
}
