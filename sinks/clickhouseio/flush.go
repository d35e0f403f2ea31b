package clickhouseio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/microseg/microseg/rows"
)

// run is the flusher: the one goroutine that inserts. It sleeps while nothing
// is pending.
func (w *Writer) run() {
	defer close(w.done)
	linger, idle := stopped(), stopped()
	for {
		select {
		case <-w.closing:
			w.flush()
			w.flush() // the record latencies of the flush before
			w.drop()
			return
		case answer := <-w.requests:
			answer <- w.flush()
		case <-w.kick:
			if w.cfg.Linger > 0 {
				linger.Reset(w.cfg.Linger)
			}
			continue
		case <-w.full:
			linger.Stop()
			w.flush()
		case <-linger.C:
			w.flush()
		case <-idle.C:
			w.flush()
		}
		if w.cfg.Linger > 0 && w.record.pending() {
			idle.Reset(max(w.cfg.Linger, time.Second))
		}
	}
}

func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// flush inserts what is pending, table by table: in parallel a flush took so
// much of a small machine at once that decisions waited for it. Progress comes
// last: its rows promise that the others are there.
func (w *Writer) flush() error {
	blocks, err := w.take()
	if err != nil || len(blocks) == 0 {
		return err
	}
	defer w.free(blocks)
	w.stats.flushes.Add(1)
	if w.spill != nil {
		err = w.keep(blocks)
	} else {
		_, err = w.insertAll(w.ctx, blocks, w.cfg.RetryFor)
	}
	if err != nil {
		w.fail(err)
	}
	return err
}

// insertAll inserts blocks, each repeated for up to retryFor, and returns those
// that are left when it cannot.
func (w *Writer) insertAll(ctx context.Context, blocks []*block, retryFor time.Duration) (left []*block, err error) {
	var errs []error
	for _, b := range blocks {
		// A server that is away is away for all tables; what it refuses for good
		// keeps only progress back.
		if len(errs) > 0 && (b.table.Name == rows.TableProgress || Retryable(errs[0]) || lockedOut(errs[0]) || ctx.Err() != nil) {
			left = append(left, b)
			continue
		}
		if err := w.writeWithin(ctx, b, retryFor); err != nil {
			left, errs = append(left, b), append(errs, err)
		}
	}
	return left, errors.Join(errs...)
}

// take empties the pending blocks, with the record latencies that are due.
func (w *Writer) take() ([]*block, error) {
	now := time.Now()
	batch, ok, err := w.record.batch(now)
	if err != nil {
		err = fmt.Errorf("writing the record latencies: %w", err)
		w.fail(err)
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, w.err
	}
	if ok {
		p, err := decode(batch, now)
		if err != nil {
			return nil, err
		}
		w.append(batch.Table, p)
	}
	blocks := make([]*block, 0, len(w.pending))
	for _, t := range rows.Tables { // progress is the last of them
		if b := w.pending[t.Name]; b != nil {
			blocks = append(blocks, b)
		}
	}
	clear(w.pending)
	w.rows, w.first, w.flying = 0, true, w.bytes
	return blocks, nil
}

// writeWithin is write that gives up on a server that does not answer, if its
// rows can wait elsewhere.
func (w *Writer) writeWithin(ctx context.Context, b *block, d time.Duration) error {
	if w.spill != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	return w.write(ctx, b, d)
}

// write inserts one block and tells who wants to know.
func (w *Writer) write(ctx context.Context, b *block, retryFor time.Duration) error {
	b.seal()
	start := time.Now()
	if err := w.insert(ctx, b, retryFor); err != nil {
		return err
	}
	now := time.Now()
	w.stats.inserts.Add(1)
	w.stats.inserted.Add(uint64(b.rows))
	w.mu.Lock()
	callback := w.callback
	w.mu.Unlock()
	w.record.confirmed(b, now)
	if callback != nil {
		callback(b.table.Name, b.taken, now.Sub(start))
	}
	return nil
}

// free gives the blocks' memory back and lets others add.
func (w *Writer) free(blocks []*block) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range blocks {
		w.bytes -= b.size
		b.release()
	}
	w.flying = 0
	w.wake()
}

// wake has who waits for room look again; the caller holds mu.
func (w *Writer) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// drop frees what is pending when the writer has ended.
func (w *Writer) drop() {
	w.mu.Lock()
	var blocks []*block
	for _, b := range w.pending {
		blocks = append(blocks, b)
	}
	clear(w.pending)
	w.rows = 0
	w.mu.Unlock()
	w.free(blocks)
}
