package redisio

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	secure "github.com/microseg/microseg/clients/redis"
	"github.com/redis/go-redis/v9"
)

//go:embed put.lua
var putText string

const (
	batchSize  = 500 // records a pipeline
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// Writer writes records in the order of Put. What cannot be written is tried
// again, for ever, while Err says why; Put blocks once the buffer is full.
type Writer struct {
	cfg    Config
	client *redis.Client
	script *redis.Script
	stop   context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and made anew whenever the fields below change
	waiting []entry
	err     error
	closed  bool
}

type entry struct {
	key, version string
	value        []byte
}

// Open starts a writer. It does not wait for Redis: see Err.
func Open(cfg Config) (*Writer, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &Writer{
		cfg: cfg, script: redis.NewScript(putText), stop: stop, ended: make(chan struct{}), changed: make(chan struct{}),
		// Retries are ours, so that Err shows them.
		client: secure.New(&redis.Options{Addr: cfg.Addr, MaxRetries: -1, ContextTimeoutEnabled: true, DialerRetries: 1}, cfg.Prefix),
	}
	go w.run(ctx)
	return w, nil
}

// Put hands records over and returns when all are in the buffer. A record that
// is not one (ErrRecord) refuses them all.
func (w *Writer) Put(ctx context.Context, records []Record) error {
	entries := make([]entry, len(records))
	for i, r := range records {
		value, err := r.stored()
		if err != nil {
			return fmt.Errorf("putting record %d (%q) into Redis: %w", i, r.Key, err)
		}
		entries[i] = entry{r.Key, r.order(), value}
	}
	for len(entries) > 0 {
		err := w.await(ctx, func() bool {
			if w.closed {
				return true
			}
			n := min(len(entries), w.cfg.Buffer-len(w.waiting))
			w.waiting, entries = append(w.waiting, entries[:n]...), entries[n:]
			if n > 0 {
				w.wake()
			}
			return len(entries) == 0
		})
		if err != nil {
			return fmt.Errorf("waiting for room in the Redis buffer (last error: %v): %w", w.Err(), err)
		}
		if len(entries) > 0 {
			return ErrClosed
		}
	}
	return nil
}

// Flush waits until Redis has everything that was put before.
func (w *Writer) Flush(ctx context.Context) error {
	err := w.await(ctx, func() bool { return len(w.waiting) == 0 || w.closed })
	if err != nil {
		return fmt.Errorf("flushing to Redis (last error: %v): %w", w.Err(), err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) > 0 {
		return ErrClosed
	}
	return nil
}

// Forget deletes persons, whatever version is there, and waits until Redis has.
func (w *Writer) Forget(ctx context.Context, keys ...string) error {
	records := make([]Record, len(keys))
	for i, k := range keys {
		records[i].Key = k
	}
	if err := w.Put(ctx, records); err != nil {
		return err
	}
	return w.Flush(ctx)
}

// triedKey is no person's: Try forgets it.
const triedKey = "tried:"

// Try does once what the writer does, with a key that is nobody's, and says why Redis does
// not let it.
func (w *Writer) Try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	if err := w.script.Load(ctx, w.client).Err(); err != nil {
		return fmt.Errorf("trying Redis at %s: %w", w.cfg.Addr, err)
	}
	for _, value := range []string{"{}", ""} { // a record, and its deletion
		keys := []string{w.cfg.Prefix + ":" + triedKey, w.cfg.Prefix + ":deleted:" + markOf(triedKey)}
		version := "0"
		if value != "" {
			version = "1"
		}
		if err := w.script.EvalSha(ctx, w.client, keys, version, value, triedFor.Milliseconds(), triedFor.Milliseconds()).Err(); err != nil {
			return fmt.Errorf("trying Redis at %s: %w", w.cfg.Addr, err)
		}
	}
	return nil
}

// triedFor is how long what Try writes may stay.
const triedFor = time.Second

// Err is why the last attempt to write did not succeed; nil after a success.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Waiting is how many records Redis does not have yet.
func (w *Writer) Waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

// Close flushes until ctx ends, gives up what is left with an error, and
// releases the connection.
func (w *Writer) Close(ctx context.Context) error {
	err := w.Flush(ctx)
	w.mu.Lock()
	w.closed = true
	w.wake()
	w.mu.Unlock()
	w.stop()
	<-w.ended
	if cerr := w.client.Close(); err == nil {
		err = cerr
	}
	return err
}

// await returns when cond, under the lock, is true.
func (w *Writer) await(ctx context.Context, cond func() bool) error {
	for {
		w.mu.Lock()
		ok, changed := cond(), w.changed
		w.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *Writer) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *Writer) run(ctx context.Context) {
	defer close(w.ended)
	backoff := minBackoff
	var batch []entry
	next := func() bool {
		n := min(batchSize, len(w.waiting))
		batch = w.waiting[:n:n]
		return n > 0
	}
	for w.await(ctx, next) == nil {
		err := w.write(ctx, batch)
		w.mu.Lock()
		w.tell(err)
		if w.err = err; err == nil {
			w.waiting = slices.Clone(w.waiting[len(batch):])
			backoff = minBackoff
		}
		w.wake()
		w.mu.Unlock()
		if err == nil {
			continue
		}
		select {
		case <-time.After(backoff):
			backoff = min(2*backoff, maxBackoff)
		case <-ctx.Done():
			return
		}
	}
}

// tell says once that Redis does not take records, and once that it does again.
func (w *Writer) tell(err error) {
	switch {
	case err != nil && w.err == nil:
		slog.Warn("Redis does not take records; they wait, and are tried again", "err", err)
	case err == nil && w.err != nil:
		slog.Info("Redis takes records again", "addr", w.cfg.Addr)
	}
}

// markOf names the mark of a deletion: a person who was deleted is not to be
// read from it.
func markOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// write sends a batch as one pipeline. Repeating it changes nothing.
func (w *Writer) write(ctx context.Context, batch []entry) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	send := func() error {
		_, err := w.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, e := range batch {
				ttl := w.cfg.TTL.Milliseconds()
				if e.key == ActivationKey {
					ttl = 0
				}
				keys := []string{w.cfg.Prefix + ":" + e.key, w.cfg.Prefix + ":deleted:" + markOf(e.key)}
				w.script.EvalSha(ctx, p, keys, e.version, e.value, ttl, w.cfg.Tombstone.Milliseconds())
			}
			return nil
		})
		return err
	}
	err := send()
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		// A server that was restarted has forgotten the script.
		if err = w.script.Load(ctx, w.client).Err(); err == nil {
			err = send()
		}
	}
	if err != nil {
		return fmt.Errorf("writing %d records to Redis at %s: %w", len(batch), w.cfg.Addr, err)
	}
	return nil
}
