package clickhouseio

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/microseg/microseg/rows"
)

// Writer collects batches and inserts them. All methods may be called
// concurrently. After an insert has failed for good every call returns that
// error: what was added since the last confirmed progress must be added again,
// to a new writer.
type Writer struct {
	cfg    Config
	conn   driver.Conn
	record recorder
	stats  counters

	ctx    context.Context // of the inserts; ends with Close
	cancel context.CancelFunc

	mu       sync.Mutex
	pending  map[string]*block
	rows     int           // pending rows
	bytes    int           // pending and on their way
	flying   int           // of bytes: on their way
	first    bool          // nothing was pending before the next Add
	changed  chan struct{} // closed and replaced when bytes fall or err is set
	err      error
	shut     bool // nothing may be added any more
	callback func(table string, rows int, took time.Duration)

	kick     chan struct{}   // the first rows are pending
	full     chan struct{}   // MaxRows are pending
	requests chan chan error // Flush
	closing  chan struct{}
	done     chan struct{} // closed when the flusher has ended
	closed   sync.Once

	spill    *spill        // nil: rows wait in memory
	aborting func()        // ends the inserts under way, when too much waits behind them; nil: there are none
	stopping chan struct{} // closed when nothing more comes into the spill
	drained  chan struct{} // closed when nothing more is inserted from there
}

type counters struct{ batches, rows, inserted, inserts, retries, flushes, spills atomic.Uint64 }

// Stats counts what a writer has done.
type Stats struct {
	Batches      uint64 // added
	Rows         uint64 // added
	Inserted     uint64 // rows confirmed; the rest of Rows was overwritten within a flush, or is pending
	Inserts      uint64 // confirmed
	Retries      uint64
	Flushes      uint64
	Spills       uint64 // flushes that ended in the log
	PendingRows  int
	PendingBytes int // waiting or on their way, in memory
	Spill        SpillStats
}

// Open makes a writer. It does not wait for the server; Close it.
func Open(_ context.Context, cfg Config) (*Writer, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("opening a ClickHouse writer: %w", err)
	}
	cfg = cfg.withDefaults()
	dial := time.Duration(0)
	if cfg.Spill.Enabled() {
		dial = cfg.SpillAfter
	}
	conn, err := connect(cfg.DSN, dial)
	if err != nil {
		return nil, err
	}
	spill, err := openSpill(cfg.Spill)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("opening a ClickHouse writer: %w", err)
	}
	if cfg.Job == 0 {
		cfg.Job = rand.Uint64()
	}
	w := &Writer{cfg: cfg, conn: conn, pending: map[string]*block{}, first: true, changed: make(chan struct{}),
		record: recorder{site: cfg.Site, job: cfg.Job, rows: rows.NewLatencyBuilder()},
		kick:   make(chan struct{}, 1), full: make(chan struct{}, 1), requests: make(chan chan error),
		closing: make(chan struct{}), done: make(chan struct{}), spill: spill, stopping: make(chan struct{}), drained: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	go w.run()
	if spill != nil {
		go w.drain()
	} else {
		close(w.drained)
	}
	return w, nil
}

// Add takes a batch to be inserted. It blocks while MaxPendingBytes are
// pending. The error is about this batch (it does not fit its table), the
// context's, or the writer's.
func (w *Writer) Add(ctx context.Context, b rows.Batch) error {
	if b.Rows == 0 {
		return w.Err()
	}
	p, err := decode(b, time.Now())
	if err != nil {
		return err
	}
	if err := w.put(ctx, b.Table, p); err != nil {
		p.rec.Release()
		return err
	}
	w.stats.batches.Add(1)
	w.stats.rows.Add(uint64(b.Rows))
	return nil
}

// put adds a part when there is room for it.
func (w *Writer) put(ctx context.Context, table string, p part) error {
	for {
		changed, err := w.tryPut(table, p)
		if err != nil || changed == nil {
			return err
		}
		signal(w.full)
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for ClickHouse to take what is pending: %w", ctx.Err())
		}
	}
}

// tryPut adds a part, or returns the channel to wait on while there is no room.
func (w *Writer) tryPut(table string, p part) (changed chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if limit := w.cfg.MaxPendingBytes; w.aborting != nil && (w.bytes-w.flying >= limit/2 || w.bytes >= limit) {
		w.aborting()
		w.aborting = nil
	}
	switch {
	case w.err != nil:
		return nil, w.err
	case w.shut:
		return nil, ErrClosed
	case w.bytes >= w.cfg.MaxPendingBytes:
		return w.changed, nil
	}
	w.append(table, p)
	switch {
	case w.rows >= w.cfg.MaxRows || w.spill != nil && w.bytes-w.flying >= w.cfg.MaxPendingBytes/4:
		signal(w.full)
	case w.first:
		signal(w.kick)
	}
	w.first = false
	return nil, nil
}

// append adds a part to its table's block; the caller holds mu.
func (w *Writer) append(table string, p part) {
	b := w.pending[table]
	if b == nil {
		t, _ := rows.ByName(table)
		b = &block{table: t}
		w.pending[table] = b
	}
	b.add(p)
	w.rows += int(p.rec.NumRows())
	w.bytes += p.size
}

// Flush returns when everything added before is in ClickHouse. When ctx ends first
// the inserts go on.
func (w *Writer) Flush(ctx context.Context) error {
	err := w.Confirm(ctx)
	if err == nil && w.spill != nil {
		err = w.spilled(ctx)
	}
	return err
}

// Confirm returns when everything added before is in ClickHouse or in the spill:
// where no crash can lose it.
func (w *Writer) Confirm(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case w.requests <- answer:
	case <-w.done:
		return w.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Err is the error that ended the writer's work, nil while it works.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close inserts what is pending and ends the writer. The error is the writer's.
// With a spill that takes closeFor at the most, and what waits there then is left
// to the next writer.
func (w *Writer) Close() error {
	var err error
	w.closed.Do(func() {
		// What is added after the flusher's last look would be lost.
		w.mu.Lock()
		w.shut = true
		w.mu.Unlock()
		if w.spill != nil {
			defer time.AfterFunc(closeFor, w.cancel).Stop()
		}
		close(w.closing)
		<-w.done
		close(w.stopping)
		<-w.drained
		err = w.Err()
		w.fail(ErrClosed)
		w.cancel()
		if w.spill != nil {
			w.spill.close()
		}
		if cerr := w.conn.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("closing the connections to ClickHouse: %w", cerr)
		}
	})
	return err
}

// abandon ends the writer without inserting what is pending.
func (w *Writer) abandon() {
	w.fail(ErrClosed)
	w.cancel()
	_ = w.Close() // it returns the error just set
}

// Stats returns the counts so far.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{Batches: w.stats.batches.Load(), Rows: w.stats.rows.Load(), Inserted: w.stats.inserted.Load(),
		Inserts: w.stats.inserts.Load(), Retries: w.stats.retries.Load(), Flushes: w.stats.flushes.Load(), Spills: w.stats.spills.Load(),
		PendingRows: w.rows, PendingBytes: w.bytes, Spill: w.spill.stats()}
}

// fail sets the writer's error, once, and wakes who waits for room.
func (w *Writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.wake()
}

// signal says something to the flusher that it need not hear twice.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
