package logstate

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/microseg/microseg/event/codec"
)

// history is a state that remembers every batch: nothing can be hidden in it.
type history struct{ all []byte }

func (h *history) Replay(_ context.Context, deltas [][]byte) error {
	h.all = append(h.all, bytes.Join(deltas, nil)...)
	return nil
}

func (h *history) AppendTo(w *codec.Writer) { w.Bytes(h.all) }

func newCache() *Cache[*history] {
	return &Cache[*history]{MinLog: 256, New: func() *history { return &history{} }, Read: func(b []byte) (*history, error) {
		r := codec.Reader{B: b}
		h := &history{all: append([]byte(nil), r.Bytes()...)}
		return h, r.Err()
	}}
}

// beamState is what a runner holds for one key.
type beamState struct {
	head []byte
	bag  [][]byte
}

func (s *beamState) write(c Change) {
	if c.Clear {
		s.bag = nil
	}
	s.head, s.bag = c.Head, append(s.bag[:len(s.bag):len(s.bag)], c.Entries...)
}

// TestRetriesRollbacksAndMoves: bundles fail after the state was touched, the
// runner rolls back to older checkpoints, keys move between workers with caches
// of their own; what a worker sees is always exactly the committed history.
func TestRetriesRollbacksAndMoves(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		caches := []*Cache[*history]{newCache(), newCache()}
		if r.IntN(2) == 0 { // a long log instead of many snapshots
			caches[0].MinLog, caches[1].MinLog = 1<<20, 1<<20
		}
		var beam beamState
		var want []byte
		type checkpoint struct {
			beam beamState
			want []byte
		}
		checkpoints := []checkpoint{{}}
		for i := range 150 {
			c := caches[r.IntN(2)]
			e, err := c.Open(t.Context(), "0", beam.head, func() ([][]byte, error) { return beam.bag, nil })
			if err != nil {
				t.Fatalf("seed %d, batch %d: %v", seed, i, err)
			}
			if !bytes.Equal(e.State.all, want) {
				t.Fatalf("seed %d, batch %d: the worker sees another history", seed, i)
			}
			batch := bytes.Repeat([]byte{byte(i)}, 1+r.IntN(3)*64)
			if r.IntN(10) == 0 {
				batch = bytes.Repeat([]byte{byte(i)}, tailBytes/2+r.IntN(tailBytes))
			}
			e.State.Replay(t.Context(), [][]byte{batch})
			switch r.IntN(6) {
			case 0: // the bundle fails and the stage says so
				c.Forget("0")
			case 1: // the bundle's result never arrives: the worker believes that it did
				e.Commit(batch, len(batch))
			case 2: // the runner goes back to an older checkpoint
				beam.write(e.Commit(batch, len(batch)))
				k := checkpoints[r.IntN(len(checkpoints))]
				beam, want = k.beam, k.want
			default:
				beam.write(e.Commit(batch, len(batch)))
				want = append(want[:len(want):len(want)], batch...)
				checkpoints = append(checkpoints, checkpoint{beam, want})
			}
		}
	}
}

func TestCorruptLogIsAnError(t *testing.T) {
	c := newCache()
	e, _ := c.Open(t.Context(), "0", nil, nil)
	ch := e.Commit(make([]byte, tailBytes), 1) // too large for the head
	c.Forget("0")
	if _, err := c.Open(t.Context(), "0", ch.Head, func() ([][]byte, error) { return nil, nil }); !errors.Is(err, codec.ErrCorrupt) {
		t.Fatalf("a lost entry gives %v", err)
	}
	if _, err := c.Open(t.Context(), "0", []byte{9}, nil); err == nil {
		t.Fatal("a head of a newer schema is accepted")
	}
}
