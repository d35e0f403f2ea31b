package clickhouseio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// insertGrace is how long an insert may take however much waits behind it: a
// server that is only busy should not see its rows take the way around.
const insertGrace = time.Second

// closeFor bounds how long Close works on with a spill.
const closeFor = 30 * time.Second

// keep gets blocks inserted, or into the spill; only while neither takes them it
// waits. It is the flusher's.
func (w *Writer) keep(blocks []*block) error {
	select {
	case <-w.spill.known:
	case <-w.ctx.Done():
		return fmt.Errorf("the log has not said what waits in topic %q: %w", w.spill.topic, w.ctx.Err())
	}
	for backoff := firstBackoff; ; backoff = min(2*backoff, maxBackoff) {
		var err error
		if !w.spill.holds() {
			if blocks, err = w.insertSoon(blocks); err == nil || !w.passed(err) {
				w.spill.block(nil)
				return err
			}
		}
		serr := w.spill.append(w.ctx, blocks)
		if serr == nil {
			w.stats.spills.Add(1)
			return nil
		}
		if errors.Is(serr, errUnfit) {
			return serr
		}
		slog.Warn("neither ClickHouse nor the log takes rows: holding back what comes", "err", errors.Join(err, serr))
		w.spill.block(serr)
		select {
		case <-w.ctx.Done():
			return errors.Join(err, serr)
		case <-time.After(backoff):
		}
	}
}

// insertSoon tries for SpillAfter, or until too much waits behind it.
func (w *Writer) insertSoon(blocks []*block) ([]*block, error) {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	start := time.Now()
	w.mu.Lock()
	w.aborting = func() { time.AfterFunc(insertGrace-time.Since(start), cancel) }
	w.wake() // who waits already may be what is too much
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.aborting = nil
		w.mu.Unlock()
	}()
	left, err := w.insertAll(ctx, blocks, w.cfg.SpillAfter)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", errAborted, err)
	}
	return left, err
}

// errAborted is for an insert behind which too much waits.
var errAborted = errors.New("too much waits for an insert")

// passed reports whether what failed may succeed later.
func (w *Writer) passed(err error) bool {
	return w.ctx.Err() == nil && (Retryable(err) || lockedOut(err) || errors.Is(err, errAborted))
}

// spilled waits until what is in the spill by now is inserted.
func (w *Writer) spilled(ctx context.Context) error {
	select {
	case <-w.spill.known:
	case <-w.drained: // the loop below says why
	case <-ctx.Done():
		return fmt.Errorf("waiting for the log to say what waits in topic %q: %w", w.spill.topic, ctx.Err())
	}
	_, target := w.spill.bounds()
	for {
		from, changed := w.spill.position()
		if from >= target {
			return nil
		}
		select {
		case <-changed:
		case <-w.drained:
			return errors.Join(fmt.Errorf("the writer has ended before topic %q was inserted", w.spill.topic), w.Err())
		case <-ctx.Done():
			return fmt.Errorf("waiting for ClickHouse to take what is in topic %q: %w", w.spill.topic, ctx.Err())
		}
	}
}

func (s *spill) position() (int64, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from, s.changed
}

// SpillStats tell what waits in the log. All are zero without a spill.
type SpillStats struct {
	Topic   string
	Rows    uint64
	Bytes   uint64    // of rows, unpacked
	Records int64     // more than 0: everything goes through the log
	Oldest  time.Time // when the oldest was spilled; zero: nothing waits
	Trouble string    // why inserting fails just now; empty: it does not
	Blocked string    // why the log takes nothing either; empty: it does
}

func (s *spill) stats() SpillStats {
	if s == nil {
		return SpillStats{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := SpillStats{Topic: s.topic, Rows: s.waiting.Rows, Bytes: s.waiting.Bytes, Records: s.end - s.from, Oldest: s.oldest}
	if s.trouble != nil {
		st.Trouble = s.trouble.Error()
	}
	if s.blocked != nil {
		st.Blocked = s.blocked.Error()
	}
	return st
}

func (s *spill) block(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocked = err
}

// close lets go of the log; what waits there is the next writer's.
func (s *spill) close() {
	if st := s.stats(); st.Records > 0 {
		slog.Warn("rows wait in the log for the next start", "topic", s.topic, "rows", st.Rows, "why", st.Trouble)
	}
	s.log.Close()
}
