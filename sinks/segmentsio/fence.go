package segmentsio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/engine"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrFenced says that another process publishes now.
var ErrFenced = errors.New("another process publishes this job's segments; stop one of them (a process that was paused or cut off stops here by itself; one that the log did not hear of for 15 minutes, too: start it again)")

// A fenced writer has a transaction open all the time, because that is what a log
// refuses to anybody but the last that claimed its id. Readers do not wait for
// its end: they read what is there, as they do without one.
const (
	// commitEvery bounds how long a transaction lasts where no snapshot ends it. A
	// killed job's is aborted, which only the log's compaction minds; what it had
	// published is published again by the next job, whose snapshots are from before.
	commitEvery = time.Minute
	// lasts is how long the log keeps a transaction of which it hears nothing;
	// brokers allow no more by default.
	lasts = 15 * time.Minute
)

// fence is what a writer that has claimed a topic has in addition.
type fence struct {
	mu    sync.RWMutex // written to by who ends a transaction
	open  atomic.Bool  // something was published in it
	stop  context.CancelFunc
	ended sync.WaitGroup
}

// Claim opens the job's writer in this process, and takes the topic over: from
// here on the log refuses everything that an earlier process with the same
// Config.Fence still sends, also what was under way while that one stood still.
// Without it such a zombie told readers its past, where they could not know: they
// drop older records of a key only until they are told to forget it.
func Claim(ctx context.Context, e *engine.Engine, cfg Config) error {
	w, err := claim(ctx, cfg)
	if err != nil {
		return err
	}
	if !slotOf(e).put(w) {
		return errors.Join(&engine.UnknownError{Name: e.Name()}, w.Close(ctx))
	}
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
	keep, stop := context.WithCancel(context.Background())
	w.fence = &fence{stop: stop}
	w.fence.ended.Go(func() { w.keep(keep) })
	return w, nil
}

// keep ends transactions now and then, until the context ends.
func (w *Writer) keep(ctx context.Context) {
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := w.commit(ctx); err != nil && ctx.Err() == nil {
			slog.Error("publishing segments", "err", err)
			return // the next batch tells of it
		}
	}
}

func (f *fence) end() {
	f.stop()
	f.ended.Wait()
}

// commit waits until the log has everything, ends the transaction and begins the
// next one.
func (w *Writer) commit(ctx context.Context) error {
	if err := w.answers(ctx); err != nil {
		return err
	}
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

// answers waits for a log that is away: whether it has ended a transaction that
// it was asked to end while it went nobody knows, and the job would have to start
// again. It did, at every end of a transaction in an outage (found by testing/faults).
func (w *Writer) answers(ctx context.Context) error {
	for w.cl.Ping(ctx) != nil {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("publishing to topic %q: the log does not answer: %w", w.topic, ctx.Err())
		}
	}
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
