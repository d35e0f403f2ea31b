package transforms

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/transforms/logstate"
)

// keyState is what a runner keeps of one key, and hands to a bundle as a
// state.Provider: reads see the bundle's own writes, and a bundle that fails
// leaves nothing.
type keyState struct {
	state.Provider // what the stages must not use panics
	head           []byte
	bag            [][]byte
}

func (k *keyState) clone() *keyState { return &keyState{head: k.head, bag: slices.Clone(k.bag)} }

func (k *keyState) ReadValueState(string) (any, []state.Transaction, error) {
	if k.head == nil {
		return nil, nil, nil
	}
	return k.head, nil, nil
}

func (k *keyState) WriteValueState(t state.Transaction) error { k.head = t.Val.([]byte); return nil }

func (k *keyState) ReadBagState(string) (out []any, _ []state.Transaction, _ error) {
	// A bag has no order.
	for _, i := range rand.Perm(len(k.bag)) {
		out = append(out, k.bag[i])
	}
	return out, nil, nil
}

func (k *keyState) WriteBagState(t state.Transaction) error {
	k.bag = append(k.bag, t.Val.([]byte))
	return nil
}

func (k *keyState) ClearBagState(state.Transaction) error { k.bag = nil; return nil }

// worker is a process: its DoFns and its caches of decoded shards.
type worker struct {
	devices *deviceFn
	persons *personFn
	reloads func() uint64
}

func newWorker(t *testing.T, spec Spec, l *testLog) *worker {
	t.Helper()
	w := &worker{devices: &deviceFn{Spec: spec, Log: LogSpec{Name: t.Name()}, Head: state.MakeValueState[[]byte]("head"), Deltas: state.MakeBagState[[]byte]("log")},
		persons: &personFn{Spec: spec, Head: state.MakeValueState[[]byte]("head"), Deltas: state.MakeBagState[[]byte]("log")}}
	check(t, w.devices.Setup())
	check(t, w.persons.Setup())
	b, err := spec.buildOnce()
	check(t, err)
	// Workers are processes of their own; in this one they would share caches.
	g, err := NewDeviceStage(b, l)
	check(t, err)
	devices := &runnerStore[*DeviceState]{g, &logstate.Cache[*DeviceState]{MinLog: 2000, New: func() *DeviceState { return NewDeviceState(b, l) },
		Read: func(p []byte) (*DeviceState, error) { return ReadDeviceState(p, b, l) }}}
	persons := &runnerStore[*PersonState]{NewPersonStage(b), &logstate.Cache[*PersonState]{MinLog: 2000, New: func() *PersonState { return NewPersonState(b) },
		Read: func(p []byte) (*PersonState, error) { return ReadPersonState(p, b) }}}
	w.devices.store, w.persons.store = devices, persons
	w.reloads = func() uint64 { return devices.cache.Reloads.Load() + persons.cache.Reloads.Load() }
	return w
}

// chaos is a runner that fails in every way that the stages must stand.
type chaos struct {
	t       *testing.T
	r       *rand.Rand
	workers []*worker
	device  map[int]*keyState
	person  map[int]*keyState
	out     tables
	faults  map[string]int
}

func (c *chaos) any() *worker { return c.workers[c.r.IntN(len(c.workers))] }

func (c *chaos) add(r rows.Batch) { c.out.add(c.t, r) }

func (c *chaos) publish(b []byte) { c.out.publish(c.t, b) }

// bundle runs f on a copy of a key's state until it is committed, and returns
// the elements that left with it. Rows of a bundle that fails are in the record
// all the same.
func (c *chaos) bundle(states map[int]*keyState, key int, f func(*worker, *keyState) ([]element, error)) []element {
	if states[key] == nil {
		states[key] = &keyState{}
	}
	for {
		tx := states[key].clone()
		out, err := f(c.any(), tx)
		check(c.t, err)
		switch c.r.IntN(8) {
		case 0: // the bundle fails after its work, and the worker does not hear of it
			c.faults["bundle failed"]++
			continue
		case 1: // the same element again: another worker got it, too
			c.faults["element repeated"]++
			states[key] = tx
			again := tx.clone()
			more, err := f(c.any(), again)
			check(c.t, err)
			states[key] = again
			return append(out, more...)
		}
		states[key] = tx
		return out
	}
}

func (c *chaos) run(elements []element) {
	for i, e := range elements {
		if i+2*len(c.device) < len(elements) && c.r.IntN(10) == 0 {
			c.faults["element lost"]++
			continue // the source's batch never arrives; the next one shows the gap
		}
		vectors := c.bundle(c.device, e.key, func(w *worker, k *keyState) (vectors []element, err error) {
			err = w.devices.ProcessElement(context.Background(), k, e.key, e.batch, func(to int, v []byte) { vectors = append(vectors, element{to, v}) }, func(int, []byte) {}, c.add, c.publish)
			return vectors, err
		})
		for _, v := range vectors {
			c.bundle(c.person, v.key, func(w *worker, k *keyState) ([]element, error) {
				return nil, w.persons.ProcessElement(context.Background(), k, v.key, v.batch, func(int, []byte) {}, c.add, c.publish)
			})
		}
	}
}

// TestFence: bundles fail after their work, elements come twice or not at all,
// keys move between workers whose decoded shards are stale, stages panic about some
// records, which are left out then; what is recorded in
// the end is what an undisturbed run records.
func TestFence(t *testing.T) {
	t.Parallel()
	faults := map[string]int{}
	reloads, reads := uint64(0), 0
	for seed := range seeds(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		spec := testSpec(t, fmt.Sprint("fence-", seed), 1+r.IntN(2), 3)
		limitRoom(&spec, seed)
		l := roomLog(r, seed, spec.Partitions, 100+r.IntN(100), true, false)
		l.deleteUsers(rand.New(rand.NewPCG(seed, 14)), 3)
		if seed%4 > 0 {
			l.trust(r, false)
		}
		cuts := r.Uint64()
		cut := func(l *testLog) []element { return l.cut(t, &spec, rand.New(rand.NewPCG(cuts, 2))) }
		clean := l
		var poison *poison
		if seed%4 == 3 {
			clean, poison = choosePoison(t, r, &spec, l)
		}
		elements := cut(l)
		want := runPlain(t, &spec, clean, cut(clean))
		poison.inject(t, &spec)
		openJob(t, &spec)
		c := &chaos{t: t, r: r, workers: []*worker{newWorker(t, spec, l), newWorker(t, spec, l)}, device: map[int]*keyState{}, person: map[int]*keyState{}, out: tables{}, faults: faults}
		c.run(elements)
		for _, w := range c.workers {
			reloads += w.reloads()
		}
		reads += l.reads
		poison.check(t, seed, want, c.out)
		want.erase(t, l.tombstones(t, &spec))
		c.out.erase(t, l.tombstones(t, &spec))
		want.eraseOpen(t, l)
		c.out.eraseOpen(t, l)
		// When a lost element is made good, users may be evaluated at other times
		// in between; where they stand in the end is the same.
		anonymous := func(row map[string]string) bool { return !isUser(row) }
		same(t, seed, "sessions", want.list(rows.TableSessions, nil, "version"), c.out.list(rows.TableSessions, nil, "version"))
		same(t, seed, "moves", chains(want), chains(c.out))
		same(t, seed, "persons", want.list(rows.TableSegmentState, anonymous, "version", "evaluated_at", "next_evaluation", "live", "long", "intent", "signal_weight"),
			c.out.list(rows.TableSegmentState, anonymous, "version", "evaluated_at", "next_evaluation", "live", "long", "intent", "signal_weight"))
		same(t, seed, "users", want.list(rows.TableSegmentState, isUser, "version", "evaluated_at", "next_evaluation", "live", "long", "intent", "signal_weight", "transitions", "since"),
			c.out.list(rows.TableSegmentState, isUser, "version", "evaluated_at", "next_evaluation", "live", "long", "intent", "signal_weight", "transitions", "since"))
		same(t, seed, "dead letters", want.list(rows.TableDeadLetters, nil, "version"), c.out.list(rows.TableDeadLetters, nil, "version"))
		same(t, seed, "published records", want.list(tablePublished, nil, "since", "at"), c.out.list(tablePublished, nil, "since", "at"))
		same(t, seed, "progress", want.list(rows.TableProgress, nil, "version"), c.out.list(rows.TableProgress, nil, "version"))
	}
	for _, f := range []string{"bundle failed", "element repeated", "element lost"} {
		if faults[f] == 0 {
			t.Errorf("no %s in any run", f)
		}
	}
	if reloads == 0 || reads == 0 {
		t.Errorf("%d reloads of decoded shards, %d ranges read again: the fence was not tried", reloads, reads)
	}
}

// same compares two sorted lists and tells what each has alone.
func same(t *testing.T, seed uint64, what string, want, got []string) {
	t.Helper()
	if slices.Equal(want, got) {
		return
	}
	alone := func(a, b []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) }), "\n\t")
	}
	t.Fatalf("seed %d: %s differ\nwith faults:\n\t%s\nundisturbed:\n\t%s", seed, what, alone(got, want), alone(want, got))
}

// TestPersonGap: the person stage cannot ask for a batch again, so a missing one
// is an error that says what to do, and no silent loss.
func TestPersonGap(t *testing.T) {
	t.Parallel()
	spec := testSpec(t, "gap", 1, 1)
	b, err := spec.buildOnce()
	check(t, err)
	l := randomLog(rand.New(rand.NewPCG(1, 3)), 1, 60, true, false)
	g, err := NewDeviceStage(b, l)
	check(t, err)
	var vectors [][]byte
	s := NewDeviceState(b, l)
	for _, e := range l.cut(t, &spec, rand.New(rand.NewPCG(1, 4))) {
		_, _, err := g.Apply(context.Background(), s, e.batch, Outputs{Vectors: func(_ int, v []byte) { vectors = append(vectors, v) }})
		check(t, err)
	}
	p, ps := NewPersonStage(b), NewPersonState(b)
	for i, v := range vectors {
		if i == 1 {
			continue
		}
		_, err := p.Apply(t.Context(), ps, 0, v, Outputs{})
		var gap *GapError
		if i == 0 {
			check(t, err)
		} else if !errors.As(err, &gap) || !strings.Contains(err.Error(), "restart the job") {
			t.Fatalf("batch %d after a missing one: %v", i, err)
		}
	}
}
