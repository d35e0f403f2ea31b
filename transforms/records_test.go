package transforms

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/segment"
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
	b, err := spec.buildOnce()
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
		_, err := p.Apply(t.Context(), ps, 0, vectors[n], Outputs{})
		check(t, err)
		if want := map[int]int{0: 1, 1: 0, 2: 0, 3: 1, 4: 1, 5: 1}[i]; ps.persons.Persons() != want {
			t.Errorf("after %d batches there are %d persons, not %d", i+1, ps.persons.Persons(), want)
		}
	}
}

// TestSentIsOfWhatJustHappened: a record says when its event was sent, so that a node
// measures the whole way, be the person a device or a user of another stage. It does
// not where that would say nothing of how fast the way is: of recorded events, of what
// waited while no job ran, of what is applied again, and where no event but time
// changed the person.
func TestSentIsOfWhatJustHappened(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	appended := at.UnixMilli() + 250
	for _, test := range []struct {
		name   string
		user   string
		life   int64 // ms: when the job began
		sentAt bool
		again  bool
		want   int64
	}{
		{"device", "", 0, true, false, at.UnixMilli()},
		{"user", "u1", 0, true, false, at.UnixMilli()},
		{"job of before", "u1", appended, true, false, at.UnixMilli()},
		{"recorded", "", 0, false, false, 0},
		{"again", "", 0, true, true, 0},
		{"again user", "u1", 0, true, true, 0},
		{"waited", "", appended + 1, true, false, 0},
		{"waited user", "u1", appended + 1, true, false, 0},
	} {
		spec := testSpec(t, "sent-"+test.name, 1, 1)
		spec.Life = uint64(test.life) * 1e6
		b, err := spec.buildOnce()
		check(t, err)
		line := visit(rand.New(rand.NewPCG(1, 8)), "d1", test.user, 1, at)
		if test.sentAt {
			line = line[:len(line)-1] + fmt.Sprintf(`,"sentAt":%q}`, at.Format(time.RFC3339Nano))
		}
		l := &testLog{}
		l.add(0, line)
		l.arrival[0].Append = appended
		g, err := NewDeviceStage(b, l)
		check(t, err)
		d, err := NewBatchDecoder(&spec)
		check(t, err)
		got := map[string]segment.Record{}
		take := func(batch []byte) {
			check(t, segment.EachKeyed(batch, func(key, value []byte) {
				var r segment.Record
				if len(value) > 0 {
					check(t, r.Read(value))
				}
				got[string(key)] = r
			}))
		}
		s, p, ps := NewDeviceState(b, l), NewPersonStage(b), NewPersonState(b)
		apply := func(raw *identity.RawBatch) {
			var vectors [][]byte
			h, batch := d.Decode(raw)
			_, err := g.Fold(t.Context(), s, &h, batch, Outputs{Records: take, Vectors: func(_ int, v []byte) { vectors = append(vectors, v) }})
			check(t, err)
			for _, v := range vectors {
				_, err := p.Apply(t.Context(), ps, 0, v, Outputs{Records: take})
				check(t, err)
			}
		}
		apply(&identity.RawBatch{ID: 0, Again: test.again, Emitted: appended * 1000, Ranges: []identity.Range{{Prev: -1, First: 0, Last: 0}}, Chunks: [][]identity.Record{l.arrival}})
		key := "d:d1"
		if test.user != "" {
			key = "u:" + test.user
		}
		if r, ok := got[key]; !ok || r.Sent != test.want {
			t.Errorf("%s: sent %d, want %d (%v)", test.name, r.Sent, test.want, got)
		}
		// The state row is due: the record leaves again, and no event made it.
		clear(got)
		apply(&identity.RawBatch{ID: 1, Due: math.MaxInt64, Ranges: []identity.Range{{Prev: 0, First: 1, Last: 0}}})
		if r, ok := got[key]; !ok || r.Sent != 0 {
			t.Errorf("%s, later: sent %d (%v)", test.name, r.Sent, got)
		}
	}
}
