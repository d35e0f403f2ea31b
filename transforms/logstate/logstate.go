// Package logstate keeps a shard's decoded state in the worker and its history
// in Beam state: a small head (version, nonce, the newest small deltas) in a
// Value, and in a Bag the snapshot's chunks and the deltas applied since.
//
// The decoded state is trusted only when the head that Beam returns is the one
// that this worker wrote last. So a retried bundle, a moved key or a restored
// checkpoint never sees another history: the worker then follows the chain of
// nonces from the head back to its snapshot and applies the deltas again.
package logstate

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/microseg/microseg/event/codec"
)

const (
	chunkSize    = 1 << 20
	entryDeltas  = 0
	entryChunk   = 1
	headSchema   = 2
	entryHeadMax = 40
	// Small deltas gather in the head and go to the bag together: an entry of the
	// bag costs a call to the runner, and Prism copies the list of them for each bundle.
	tailEntries = 64
	tailBytes   = 8 << 10
)

// defaultMinLog is the weight below which a log is not compacted.
const defaultMinLog = 8 << 20

// State is what can be kept: it applies deltas and writes itself.
type State interface {
	// Replay applies deltas that were applied before, in order, and drops their effects.
	// It may read their log again, and ends with the context.
	Replay(ctx context.Context, deltas [][]byte) error
	// AppendTo writes a snapshot.
	AppendTo(w *codec.Writer)
}

// Head is what the Value holds.
type Head struct {
	Version  int64  // batches applied
	Nonce    uint64 // of the last entry
	LogBytes int64  // weight of the deltas since the snapshot
	Snapshot int64  // bytes of the snapshot
	Chunks   int    // of the snapshot
	tail     []byte // deltas that are not in the bag yet
	tails    int    // how many
}

func (h Head) encode() []byte {
	w := codec.Writer{B: make([]byte, 0, len(h.tail)+2*entryHeadMax)}
	w.Byte(headSchema)
	w.Int(h.Version)
	w.Fixed(h.Nonce)
	w.Int(h.LogBytes)
	w.Int(h.Snapshot)
	w.Int(int64(h.Chunks))
	w.Int(int64(h.tails))
	w.Bytes(h.tail)
	return w.B
}

func decodeHead(b []byte) (Head, error) {
	if len(b) == 0 {
		return Head{}, nil
	}
	r := codec.Reader{B: b}
	if v := r.Byte(); v != headSchema {
		return Head{}, &codec.VersionError{What: "shard's head", Got: int(v), Want: headSchema}
	}
	h := Head{Version: r.Int(), Nonce: r.Fixed(), LogBytes: r.Int(), Snapshot: r.Int(), Chunks: int(r.Int()), tails: int(r.Int()), tail: r.Bytes()}
	return h, r.Err()
}

// Entry is a shard's decoded state in this worker.
type Entry[S State] struct {
	State  S
	head   Head
	minLog int64
}

// Cache holds the decoded shards of one stage in this process.
type Cache[S State] struct {
	New  func() S
	Read func(snapshot []byte) (S, error)
	// MinLog is the weight below which a log is not compacted; 0: 8 MiB.
	MinLog int64
	mu     sync.Mutex
	m      map[string]*Entry[S]
	// Reloads counts the times that a decoded shard was not trusted.
	Reloads atomic.Uint64
}

// Forget drops a decoded shard; the next Open reloads it.
func (c *Cache[S]) Forget(key string) {
	c.mu.Lock()
	delete(c.m, key)
	c.mu.Unlock()
}

// Open returns the state that belongs to head, reloading it from log if this
// worker's is not that one. The caller owns it until Commit; a caller that
// fails in between must Forget it.
func (c *Cache[S]) Open(ctx context.Context, key string, head []byte, log func() ([][]byte, error)) (*Entry[S], error) {
	h, err := decodeHead(head)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	e := c.m[key]
	c.mu.Unlock()
	if e != nil && e.head.Nonce == h.Nonce && e.head.Version == h.Version {
		return e, nil
	}
	e = &Entry[S]{head: h, minLog: cmp.Or(c.MinLog, defaultMinLog)}
	if h.Version == 0 {
		e.State = c.New()
	} else if e.State, err = c.reload(ctx, h, log); err != nil {
		return nil, fmt.Errorf("reloading shard %s at version %d: %w", key, h.Version, err)
	}
	c.mu.Lock()
	if c.m == nil {
		c.m = map[string]*Entry[S]{}
	}
	c.m[key] = e
	c.Reloads.Add(1)
	c.mu.Unlock()
	return e, nil
}

// Change is what a batch writes to Beam state.
type Change struct {
	Head    []byte
	Clear   bool     // clear the bag first: it is replaced by a snapshot
	Entries [][]byte // to add to the bag
}

// Commit records that a delta has been applied to the state. Its weight is what
// replaying it costs, in bytes: those of the delta, or of what it stands for.
// Compaction is by weight: when the log outgrows twice the snapshot, a new
// snapshot replaces both.
func (e *Entry[S]) Commit(delta []byte, weight int) Change {
	h := e.head
	h.Version++
	h.Nonce = rand.Uint64() | 1
	h.LogBytes += int64(weight)
	if h.LogBytes > max(e.minLog, 2*h.Snapshot) {
		return e.snapshot(h)
	}
	// A tail belongs to the head that it was made for: it is never changed in place.
	w := codec.Writer{B: append(make([]byte, 0, len(h.tail)+len(delta)+entryHeadMax), h.tail...)}
	w.Fixed(e.head.Nonce)
	w.Fixed(h.Nonce)
	w.Bytes(delta)
	h.tail, h.tails = w.B, h.tails+1
	var c Change
	if h.tails >= tailEntries || len(h.tail) >= tailBytes {
		c.Entries = [][]byte{append([]byte{entryDeltas}, h.tail...)}
		h.tail, h.tails = nil, 0
	}
	e.head, c.Head = h, h.encode()
	return c
}

func (e *Entry[S]) snapshot(h Head) Change {
	w := codec.Writer{B: make([]byte, 0, h.Snapshot+h.Snapshot/4)}
	e.State.AppendTo(&w)
	h.Snapshot, h.LogBytes, h.Chunks, h.tail, h.tails = int64(len(w.B)), 0, 0, nil, 0
	c := Change{Clear: true}
	for b := w.B; len(b) > 0 || h.Chunks == 0; h.Chunks++ {
		n := min(len(b), chunkSize)
		x := codec.Writer{B: make([]byte, 0, n+entryHeadMax)}
		x.Byte(entryChunk)
		x.Fixed(h.Nonce)
		x.Uint(uint64(h.Chunks))
		x.B = append(x.B, b[:n]...)
		c.Entries = append(c.Entries, x.B)
		b = b[n:]
	}
	e.head = h
	c.Head = h.encode()
	return c
}

// delta is one of the log, with the nonce of the one before it.
type delta struct {
	parent uint64
	bytes  []byte
}

// readDeltas adds deltas, by nonce.
func readDeltas(b []byte, into map[uint64]delta) error {
	r := codec.Reader{B: b}
	for len(r.B) > 0 {
		parent, nonce, bytes := r.Fixed(), r.Fixed(), r.Bytes()
		if r.Err() != nil {
			return r.Err()
		}
		into[nonce] = delta{parent, bytes}
	}
	return nil
}

// reload follows the chain of nonces from the head to its snapshot, or to the
// empty state, and applies the deltas on it in order.
func (c *Cache[S]) reload(ctx context.Context, h Head, log func() ([][]byte, error)) (s S, err error) {
	entries, err := log()
	if err != nil {
		return s, err
	}
	deltas, chunks := map[uint64]delta{}, map[uint64]map[uint64][]byte{}
	if err := readDeltas(h.tail, deltas); err != nil {
		return s, err
	}
	for _, b := range entries {
		r := codec.Reader{B: b}
		if r.Byte() == entryDeltas {
			if err := readDeltas(r.B, deltas); err != nil {
				return s, err
			}
			continue
		}
		nonce, i := r.Fixed(), r.Uint()
		if r.Err() != nil {
			return s, r.Err()
		}
		if chunks[nonce] == nil {
			chunks[nonce] = map[uint64][]byte{}
		}
		chunks[nonce][i] = r.B
	}
	var chain [][]byte
	at := h.Nonce
	for at != 0 && chunks[at] == nil {
		d, ok := deltas[at]
		if !ok {
			return s, fmt.Errorf("no entry for nonce %x: %w", at, codec.ErrCorrupt)
		}
		chain = append(chain, d.bytes)
		at = d.parent
	}
	s = c.New()
	if at != 0 {
		if s, err = c.join(chunks[at], h.Chunks); err != nil {
			return s, err
		}
	}
	slices.Reverse(chain)
	return s, s.Replay(ctx, chain)
}

func (c *Cache[S]) join(chunks map[uint64][]byte, n int) (s S, err error) {
	var b []byte
	for i := range uint64(n) {
		x, ok := chunks[i]
		if !ok {
			return s, fmt.Errorf("chunk %d of %d of the snapshot is missing: %w", i, n, codec.ErrCorrupt)
		}
		b = append(b, x...)
	}
	return c.Read(b)
}
