package clickhouseio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/sinks/spillio"
)

// chunk bounds what is taken out of the spill at once, in memory beside what is
// pending. It is large: each insert is a part for the server to merge.
var chunk = spillio.Limit{Rows: 200_000, Bytes: 16 << 20}

// An insert from the spill may take long, since nothing waits for it in memory;
// one that timed out may take twice as long the next time.
const (
	firstDrainTimeout = time.Minute
	maxDrainTimeout   = 10 * time.Minute
)

// drain is the goroutine that inserts what is in the spill, oldest first.
func (w *Writer) drain() {
	defer close(w.drained)
	defer w.spill.log.Rest()
	for backoff := firstBackoff; ; backoff = min(2*backoff, maxBackoff) {
		err := w.spill.learn(w.ctx)
		if err == nil {
			break
		}
		slog.Warn("asking the log for rows that an earlier run has left, will try again", "topic", w.spill.topic, "err", err)
		if !w.pause(backoff) {
			return
		}
	}
	for {
		if !w.spill.holds() {
			w.spill.log.Rest()
			select {
			case <-w.spill.more:
			case <-w.stopping:
				if !w.spill.holds() {
					return
				}
			}
			continue
		}
		if !w.empty() {
			return
		}
	}
}

// empty inserts until nothing waits. It returns false when the writer is to end:
// it has failed, or it is being closed and the server is away.
func (w *Writer) empty() bool {
	backoff, timeout := firstBackoff, firstDrainTimeout
	for w.spill.holds() {
		ctx, cancel := context.WithTimeout(w.ctx, timeout)
		err := w.drainChunk(ctx)
		late := ctx.Err() != nil
		cancel()
		w.spill.report(err)
		switch {
		case err == nil:
			backoff = firstBackoff
			continue
		case w.ctx.Err() != nil:
			return false
		case !late && !passing(err):
			w.fail(fmt.Errorf("inserting what waits in topic %q (it stays there): %w", w.spill.topic, err))
			return false
		case late:
			timeout = min(2*timeout, maxDrainTimeout)
		}
		w.stats.retries.Add(1)
		if !w.pause(backoff/2 + rand.N(backoff/2)) {
			return false
		}
		backoff = min(2*backoff, maxBackoff)
	}
	signal(w.kick) // the record latencies of these inserts
	return true
}

// pause waits, and returns false when the writer is to end.
func (w *Writer) pause(d time.Duration) bool {
	select {
	case <-w.stopping:
		return false
	case <-time.After(d):
		return true
	}
}

// drainChunk inserts the oldest records, then says so to the log.
func (w *Writer) drainChunk(ctx context.Context) error {
	from, end := w.spill.bounds()
	read, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	records, err := w.spill.log.Read(read, from, end, chunk)
	if err != nil {
		return &logError{err}
	}
	blocks, err := blocksOf(records)
	if err != nil {
		return err
	}
	defer func() {
		for _, b := range blocks {
			b.release()
		}
	}()
	for _, t := range rows.Tables { // progress is the last of them
		if b := blocks[t.Name]; b != nil {
			if err := w.write(ctx, b, 0); err != nil {
				return err
			}
		}
	}
	next := records[len(records)-1].Offset + 1
	done, cancel := context.WithTimeout(w.ctx, logTimeout)
	defer cancel()
	if err := w.spill.log.Done(done, next); err != nil {
		return &logError{err}
	}
	w.spill.forget(records, next)
	return nil
}

// passing reports whether trying again may help.
func passing(err error) bool {
	var l *logError
	if errors.As(err, &l) {
		return !errors.Is(err, spillio.ErrForeign)
	}
	return Retryable(err) || lockedOut(err)
}

// logError is the log's failure, as opposed to ClickHouse's.
type logError struct{ error }

func (e *logError) Unwrap() error { return e.error }

func blocksOf(records []spillio.Record) (map[string]*block, error) {
	blocks := map[string]*block{}
	for _, r := range records {
		p, err := decode(r.Batch, r.Appended)
		if err != nil {
			for _, b := range blocks {
				b.release()
			}
			return nil, fmt.Errorf("offset %d: %w; run the version of the program that wrote it, or delete the records up to there", r.Offset, err)
		}
		b := blocks[r.Batch.Table]
		if b == nil {
			t, _ := rows.ByName(r.Batch.Table)
			b = &block{table: t}
			blocks[r.Batch.Table] = b
		}
		b.add(p)
	}
	return blocks, nil
}

func (s *spill) bounds() (from, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from, s.end
}

// forget counts records as inserted.
func (s *spill) forget(records []spillio.Record, next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		s.waiting.Rows -= min(s.waiting.Rows, uint64(r.Batch.Rows))
		s.waiting.Bytes -= min(s.waiting.Bytes, uint64(len(r.Batch.Data)))
	}
	s.from, s.oldest, s.trouble = next, records[len(records)-1].Appended, nil
	if s.from >= s.end {
		s.from, s.waiting, s.oldest = s.end, spillio.Totals{}, time.Time{}
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// report keeps why inserting from the spill fails, for who asks.
func (s *spill) report(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.trouble == nil {
		slog.Warn("inserting what waits in the log, will try again", "topic", s.topic, "err", err)
	}
	s.trouble = err
}
