package store

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/microseg/microseg/segment"
)

// TestFloodOfDevices: a node full of devices of one event let new visitors in 21 times of
// 200, since nobody had asked for them more often than for the others. Now all are found
// while the flood goes on, whose events are ahead of the clock at that.
func TestFloodOfDevices(t *testing.T) {
	t.Parallel()
	const most, visitors = 1000, 200
	p := newTopic(t)
	now := time.Now()
	at := func(i int) int64 { return now.UnixMilli() + int64(i) }
	put := func(key string, i int, ahead int64, once bool) {
		p.record(key, segment.Record{Version: 1, Path: "everyone", Last: at(i) + ahead, Evaluated: at(i) + ahead, Decided: at(i) * 1000, Once: once})
	}
	for i := range 10 * most {
		put(fmt.Sprint("d:flood", i), i, 240_000, true)
		if i%50 == 0 {
			key := fmt.Sprint("d:visitor", i/50)
			put(key, i, 0, true)
			put(key, i, 0, false)
		}
	}
	put("d:newest", 10*most, 0, true)
	s := p.open(most)
	var r segment.Record
	for i := range visitors {
		if ok, err := s.Get(fmt.Sprint("d:visitor", i), &r); !ok || err != nil {
			t.Errorf("visitor %d is not found", i)
		}
	}
	if ok, _ := s.Get("d:newest", &r); !ok {
		t.Error("who has just come is not found")
	}
	if st := s.Stats(); st.Profiles != most || st.Evicted == 0 {
		t.Errorf("%+v", st)
	}
}

// TestHeldIsTheLast: what is held is the last records by kind and by when the persons
// were heard of, whatever the order in which they came, as a sorted list has them.
func TestHeldIsTheLast(t *testing.T) {
	t.Parallel()
	type rec struct {
		key   string
		keep  segment.Keep
		heard int64
	}
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var all []rec
		for i := range 1 + r.IntN(200) {
			all = append(all, rec{fmt.Sprint("d:", i), segment.Keep(r.IntN(int(segment.Keeps))), r.Int64N(40)})
		}
		most := 1 + r.IntN(100)
		h := newHeld(most)
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, x := range all {
			if r.IntN(3) == 0 { // what it said before, which may have been of another kind
				h.put(x.key, "old", segment.Keep(r.IntN(int(segment.Keeps))), r.Int64N(40))
			}
			h.put(x.key, "new", x.keep, x.heard)
		}
		// What a record pushed out before it changed is gone, so all come once more.
		for _, x := range all {
			h.put(x.key, "new", x.keep, x.heard)
		}
		slices.SortFunc(all, func(a, b rec) int {
			return -cmp.Or(cmp.Compare(a.keep, b.keep), cmp.Compare(a.heard, b.heard), cmp.Compare(a.key, b.key))
		})
		for i, x := range all {
			if _, ok := h.get(x.key); ok != (i < most) {
				t.Fatalf("seed %d: %+v, the %d. of %d, is held: %v", seed, x, i, most, ok)
			}
		}
		for _, x := range all {
			h.forget(x.key)
		}
		if n, _ := h.counts(); n != 0 {
			t.Fatalf("seed %d: %d are left", seed, n)
		}
	}
}
