package transforms

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/microseg/microseg/identity"
)

// TestPointerAfterForgetting: a device that comes back linked, in the batch in
// which the retention or a deletion forgets it, is published as its user's. What
// was said of the old person came last, and serving never heard of the link.
func TestPointerAfterForgetting(t *testing.T) {
	t.Parallel()
	for name, deleted := range map[string]bool{"retention": false, "deletion": true} {
		spec := testSpec(t, "pointer-"+name, 1, 1)
		spec.Retention = time.Hour.Milliseconds()
		r := rand.New(rand.NewPCG(1, 6))
		at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
		l := &testLog{}
		l.add(0, visit(r, "d1", "", 1, at))
		if deleted {
			l.add(0, `{"type":"$delete","anonymousId":"d1"}`)
		} else {
			at = at.Add(2 * time.Hour)
		}
		l.add(0, visit(r, "d1", "u1", 2, at.Add(time.Second)))
		for seed := range uint64(10) { // cuts: some have all in one batch
			got := runPlain(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(seed, 7))))
			if row := got[tablePublished]["d:d1"]; row["user"] != "u1" || got[tablePublished]["u:u1"] == nil {
				t.Errorf("%s, cut %d: published are %v", name, seed, got[tablePublished])
			}
		}
	}
}

// TestErasedStaysErased: vectors that a runner hands out again after the deletion
// do not bring the device back, though nothing is left that tells their age.
func TestErasedStaysErased(t *testing.T) {
	t.Parallel()
	spec := testSpec(t, "again", 1, 1)
	b, err := spec.Build()
	check(t, err)
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	l := &testLog{}
	l.add(0, visit(rand.New(rand.NewPCG(1, 8)), "d1", "u1", 1, at))
	l.add(0, `{"type":"$delete","anonymousId":"d1"}`)
	l.add(0, visit(rand.New(rand.NewPCG(1, 9)), "d2", "u2", 2, at))
	g, err := NewDeviceStage(b, l)
	check(t, err)
	d, err := NewBatchDecoder(&spec)
	check(t, err)
	s, p, ps := NewDeviceState(b, l), NewPersonStage(b), NewPersonState(b)
	var vectors [][]byte
	for i, r := range l.arrival {
		o := r.Offset
		h, batch := d.Decode(&identity.RawBatch{ID: int64(i), Emitted: at.UnixMicro(), Ranges: []identity.Range{{Prev: o - 1, First: o, Last: o}}, Chunks: [][]identity.Record{{r}}})
		_, err := g.Fold(t.Context(), s, &h, batch, Outputs{Vectors: func(_ int, v []byte) { vectors = append(vectors, v) }})
		check(t, err)
	}
	for i, n := range []int{0, 1, 0, 2, 1, 0} {
		_, err := p.Apply(ps, 0, vectors[n], Outputs{})
		check(t, err)
		if want := map[int]int{0: 1, 1: 0, 2: 0, 3: 1, 4: 1, 5: 1}[i]; ps.persons.Persons() != want {
			t.Errorf("after %d batches there are %d persons, not %d", i+1, ps.persons.Persons(), want)
		}
	}
}
