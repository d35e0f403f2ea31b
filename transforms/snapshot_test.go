package transforms

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/microseg/microseg/event/codec"
)

// halfSaved is a snapshot that is being written, and the one that was written at
// once when it began.
type halfSaved struct {
	state saved
	read  func(b []byte) (saved, error)
	whole []byte
	w     codec.Writer
	more  bool
}

// advance begins a snapshot, goes on with one, or compares it at its end.
func (h *halfSaved) advance(t *testing.T, r *rand.Rand) (compared bool) {
	t.Helper()
	switch {
	case h.more && r.IntN(4) > 0:
		return false
	case h.more:
		if h.more = h.state.SaveSome(&h.w, 1); h.more {
			return false
		}
		got, err := h.read(h.w.B)
		check(t, err)
		want, err := h.read(h.whole)
		check(t, err)
		if a, b := histogram(got), histogram(want); a != b {
			t.Fatalf("a snapshot that was written while the state went on has %v of each byte, the one at once %v", a, b)
		}
		return true
	case r.IntN(4) == 0:
		h.whole, h.w = encoded(h.state), codec.Writer{}
		h.state.Save(&h.w)
		h.more = true
	}
	return false
}

func encoded(s saved) []byte {
	var w codec.Writer
	s.Save(&w)
	for s.SaveSome(&w, 1000) {
	}
	return w.B
}

// histogram counts the bytes of a state: the order of devices does not matter.
func histogram(s saved) (n [256]int) {
	for _, b := range encoded(s) {
		n[b]++
	}
	return n
}

// TestSnapshotsWhileTheStateGoesOn: a snapshot that is written device by device,
// between batches that link, unlink, delete and forget them, has each as it was
// when the snapshot began.
func TestSnapshotsWhileTheStateGoesOn(t *testing.T) {
	t.Parallel()
	compared := 0
	for seed := range seeds(400) {
		r := rand.New(rand.NewPCG(seed, 9))
		spec := testSpec(t, fmt.Sprint("saved-", seed), 1, 3)
		if seed%3 == 0 { // devices are forgotten, and wait for the shard's time to be
			spec.Retention = int64(31+r.IntN(60)) * 60_000
		}
		l := randomLog(r, spec.Partitions, 60+r.IntN(100), true, seed%2 == 0)
		if seed%4 > 0 {
			l.trust(r, false)
		}
		if seed%2 == 1 {
			l = linkLog(r, spec.Partitions, 60+r.IntN(100))
		}
		l.deleteUsers(rand.New(rand.NewPCG(seed, 14)), 3)
		letters, devices := l.breakSome(t, r, &spec)
		l.rebuild(t, r, &spec, letters, devices, nil)
		b, err := spec.buildOnce()
		check(t, err)
		g, err := NewDeviceStage(b, l)
		check(t, err)
		s, p, ps := NewDeviceState(b, l), NewPersonStage(b), NewPersonState(b)
		device := &halfSaved{state: s, read: func(x []byte) (saved, error) { return ReadDeviceState(x, b, l) }}
		person := &halfSaved{state: ps, read: func(x []byte) (saved, error) { return ReadPersonState(x, b) }}
		for _, e := range l.cut(t, &spec, r) {
			_, _, err := g.Apply(context.Background(), s, e.batch, Outputs{Vectors: func(_ int, vectors []byte) {
				_, err := p.Apply(t.Context(), ps, 0, vectors, Outputs{})
				check(t, err)
			}})
			check(t, err)
			for _, h := range []*halfSaved{device, person} {
				if h.advance(t, r) {
					compared++
				}
			}
		}
		forgetBuilt(spec.Job)
	}
	if compared < 500 {
		t.Errorf("%d snapshots were compared", compared)
	}
}
