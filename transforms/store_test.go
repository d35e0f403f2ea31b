package transforms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/transforms/logstate"
)

// TestStores: both stores pass one suite. Random programs add to the keys of a map, from
// several senders; bundles fail, elements come again or overtake each other, processes are
// killed between any two things that they do, and the stage panics about some steps. In the
// end the map is that of a plain loop; each step was shown, and never in two ways.
func TestStores(t *testing.T) {
	t.Parallel()
	for name, home := range map[string]func(*testing.T, *rand.Rand, *mapProgram) *mapState{
		"runner":           onRunner,
		"local, in order":  func(t *testing.T, r *rand.Rand, p *mapProgram) *mapState { return inProcess(t, r, p, false) },
		"local, who waits": func(t *testing.T, r *rand.Rand, p *mapProgram) *mapState { return inProcess(t, r, p, true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range seeds(150) {
				r := rand.New(rand.NewPCG(seed, 29))
				p := newMapProgram(t, r, name == "local, in order")
				got := home(t, r, p)
				if !maps.Equal(got.values, p.want) {
					t.Fatalf("seed %d: the map is %v, and not %v", seed, got.values, p.want)
				}
				if len(p.seen) != p.steps {
					t.Fatalf("seed %d: %d of %d steps were shown", seed, len(p.seen), p.steps)
				}
			}
		})
	}
}

// mapProgram is what the senders send, and what was seen of it.
type mapProgram struct {
	t        *testing.T
	elements [][]*Element // by sender
	poison   map[identity.Place]bool
	want     map[string]int64
	steps    int // that are to be shown
	seen     map[string]string
}

func newMapProgram(t *testing.T, r *rand.Rand, alone bool) *mapProgram {
	p := &mapProgram{t: t, poison: map[identity.Place]bool{}, want: map[string]int64{}, seen: map[string]string{}}
	senders := 1 + r.IntN(3)
	if alone {
		senders = 1
	}
	for from := range senders {
		p.elements = append(p.elements, nil)
		for n := int64(1); n <= int64(10+r.IntN(40)); n++ {
			var w codec.Writer
			many := r.IntN(4)
			w.Uint(uint64(many))
			for i := range many {
				k, v := fmt.Sprint("k", r.IntN(5)), r.Int64N(100)
				w.String(k)
				w.Int(v)
				if r.IntN(60) == 0 {
					p.poison[mapPlace(from, n, i)] = true
					continue
				}
				p.want[k] += v
				p.steps++
			}
			p.elements[from] = append(p.elements[from], &Element{From: from, Number: n, Bytes: w.B})
		}
	}
	return p
}

func mapPlace(from int, n int64, i int) identity.Place {
	return identity.Place{Partition: int32(from), Offset: 10*n + int64(i)}
}

// show is where everybody looks.
func (p *mapProgram) show(b rows.Batch) {
	if was, ok := p.seen[b.Table]; ok && was != string(b.Data) {
		p.t.Fatalf("%s was shown as %s and as %s", b.Table, was, b.Data)
	}
	p.seen[b.Table] = string(b.Data)
}

// mapState is the map, and how far each sender's elements are in it.
type mapState struct {
	values map[string]int64
	done   []int64
	stage  *mapStage
}

func (s *mapState) AppendTo(w *codec.Writer) {
	for _, n := range s.done {
		w.Int(n)
	}
	w.Uint(uint64(len(s.values)))
	for _, k := range slices.Sorted(maps.Keys(s.values)) {
		w.String(k)
		w.Int(s.values[k])
	}
}

// Replay implements logstate.State; a delta is a sender, a number, what is left out, and the
// steps.
func (s *mapState) Replay(ctx context.Context, deltas [][]byte) error {
	for _, d := range deltas {
		r := codec.Reader{B: d}
		e := &Element{From: int(r.Int()), Number: r.Int()}
		without := readPoison(&r)
		e.Bytes = r.B
		if _, err := s.stage.process(ctx, s, e, without, Outputs{}); err != nil {
			return err
		}
	}
	return nil
}

// mapStage applies elements to maps.
type mapStage struct {
	p  *mapProgram
	at identity.Place
}

func (g *mapStage) empty() *mapState {
	return &mapState{values: map[string]int64{}, done: make([]int64, len(g.p.elements)), stage: g}
}

func (g *mapStage) read(b []byte) (*mapState, error) {
	s, r := g.empty(), codec.Reader{B: b}
	for i := range s.done {
		s.done[i] = r.Int()
	}
	for range r.Len() {
		k := string(r.Bytes())
		s.values[k] = r.Int()
	}
	return s, r.Err()
}

func (g *mapStage) name() string { return "map" }

func (g *mapStage) process(_ context.Context, s *mapState, e *Element, without []identity.Place, out Outputs) ([]applied, error) {
	if e.Number <= s.done[e.From] { // it comes again, and is told again
		return []applied{{g.delta(e, without), len(e.Bytes)}}, nil
	}
	s.done[e.From] = e.Number
	r := codec.Reader{B: e.Bytes}
	for i := range r.Len() {
		k, v := string(r.Bytes()), r.Int()
		if g.at = mapPlace(e.From, e.Number, i); slices.Contains(without, g.at) {
			continue
		}
		s.values[k] += v // a panic leaves it half-way
		if g.p.poison[g.at] {
			panic(fmt.Sprint("about ", g.at))
		}
		if out.Rows != nil {
			out.Rows(rows.Batch{Table: fmt.Sprint(g.at), Data: fmt.Append(nil, k, " is ", s.values[k])})
		}
	}
	return []applied{{g.delta(e, without), len(e.Bytes)}}, r.Err()
}

func (g *mapStage) delta(e *Element, without []identity.Place) []byte {
	w := codec.Writer{}
	w.Int(int64(e.From))
	w.Int(e.Number)
	appendPoison(&w, without)
	return append(w.B, e.Bytes...)
}

func (g *mapStage) suspects() []identity.Place { return []identity.Place{g.at} }
func (g *mapStage) renew() error               { return nil }
func (g *mapStage) forgets() bool              { return false }

func (g *mapStage) last(s *mapState, from int) int64 { return s.done[from] }

func (g *mapStage) entry(e *Element, without []identity.Place) ([]byte, error) {
	return e.order().entry(without), nil
}

// onRunner has a runner keep the state: its bundles fail after their work, elements come
// twice, and keys move between two workers whose decoded states are stale.
func onRunner(t *testing.T, r *rand.Rand, p *mapProgram) *mapState {
	var workers []*runnerStore[*mapState]
	for range 2 {
		g := &mapStage{p: p}
		workers = append(workers, &runnerStore[*mapState]{g, &logstate.Cache[*mapState]{MinLog: 200, New: g.empty, Read: g.read}})
	}
	kept := &keyState{}
	head, log := state.MakeValueState[[]byte]("head"), state.MakeBagState[[]byte]("log")
	apply := func(k *keyState, e *Element) {
		check(t, workers[r.IntN(2)].Apply(t.Context(), &beamCells{k, head, log}, e, Outputs{Rows: p.show}))
	}
	next := make([]int, len(p.elements))
	for left := true; left; {
		left = false
		for from, n := range next {
			if n == len(p.elements[from]) {
				continue
			}
			left = true
			if r.IntN(2) == 0 {
				continue
			}
			e, tx := p.elements[from][n], kept.clone()
			apply(tx, e)
			switch r.IntN(8) {
			case 0: // the bundle fails, and is tried again at once
				tx = kept.clone()
				apply(tx, e)
			case 1: // it is given again
				tx = tx.clone()
				apply(tx, e)
			}
			kept = tx
			next[from]++
		}
	}
	b, err := (&beamCells{kept, head, log}).Head()
	check(t, err)
	e, err := workers[0].cache.Open(t.Context(), "0", b, (&beamCells{kept, head, log}).Log)
	check(t, err)
	return e.State
}

// mapLife is a process; it dies at a step, with what the journal does not have yet.
type mapLife struct {
	r        *rand.Rand
	entries  *[][]byte // of the journal
	pending  [][]byte
	steps    int // until it dies; 0: never
	snapshot *mapSnapshot
}

type mapSnapshot struct {
	state []byte
	from  int // entries behind it
}

func (l *mapLife) dead() bool {
	if l.steps > 0 {
		if l.steps--; l.steps == 0 {
			l.steps = -1
		}
	}
	return l.steps < 0
}

// Append implements Journal.
func (l *mapLife) Append(_ int, entry []byte) func(context.Context) error {
	l.pending = append(l.pending, slices.Clone(entry))
	n := len(*l.entries) + len(l.pending)
	return func(context.Context) error {
		dead := l.dead()
		if !dead || l.r.IntN(2) == 0 {
			for len(*l.entries) < n {
				*l.entries, l.pending = append(*l.entries, l.pending[0]), l.pending[1:]
			}
		}
		if dead {
			return errKilled
		}
		return nil
	}
}

// inProcess keeps the state in processes that are killed; senders then begin anew.
func inProcess(t *testing.T, r *rand.Rand, p *mapProgram, waits bool) *mapState {
	var entries [][]byte
	saved := &mapSnapshot{}
	for life := 0; ; life++ {
		l := &mapLife{r: r, entries: &entries, snapshot: saved}
		if life < 8 {
			l.steps = 1 + r.IntN(40)
		}
		task := recoveredMap(t, p, l, waits)
		err := l.run(t, p, task)
		if err == nil {
			return task.state
		}
		if x := poisoned(err); life > 200 || !errors.Is(err, errKilled) && (x == nil || !x.Decided) {
			t.Fatalf("life %d: %v", life, err)
		}
	}
}

// recoveredMap is the task as snapshot and journal have it.
func recoveredMap(t *testing.T, p *mapProgram, l *mapLife, waits bool) *task[*mapState] {
	g := &mapStage{p: p}
	s := g.empty()
	if l.snapshot.state != nil {
		var err error
		s, err = g.read(l.snapshot.state)
		check(t, err)
	}
	made := newTask[*mapState](0, g, s)
	made.waits, made.senders = waits, len(p.elements)
	seen := map[int]int64{}
	for _, b := range (*l.entries)[l.snapshot.from:] {
		o, without, err := readOrder(b, made.senders)
		check(t, err)
		made.read(o, without, seen)
	}
	return &made
}

// run gives the task all elements, some of them twice or, where they may wait, before others.
func (l *mapLife) run(t *testing.T, p *mapProgram, task *task[*mapState]) error {
	local := &Local{journal: l, deleted: make(chan struct{}, 1)}
	store := localStore(func(ctx context.Context, e *Element, out Outputs) error { return task.apply(ctx, local, e, out) })
	var waiting [][]*Element
	for _, elements := range p.elements {
		waiting = append(waiting, slices.Clone(elements))
	}
	for left := true; left; {
		left = false
		for from, list := range waiting {
			if len(list) == 0 {
				continue
			}
			left = true
			i := 0
			if task.waits {
				i = l.r.IntN(min(3, len(list)))
			}
			e := list[i]
			if l.r.IntN(8) > 0 { // else it is given again
				waiting[from] = slices.Delete(list, i, i+1)
			}
			err := store.Apply(t.Context(), nil, e, Outputs{Rows: func(b rows.Batch) {
				if !l.dead() {
					p.show(b)
				}
			}})
			if err != nil {
				return err
			}
			if l.steps < 0 {
				return errKilled
			}
			if l.r.IntN(10) == 0 && len(task.script) == 0 {
				var w codec.Writer
				task.state.AppendTo(&w)
				*l.snapshot = mapSnapshot{w.B, len(*l.entries)}
			}
		}
	}
	return nil
}

// TestStoresLoseNothing: what waits for something that never comes is no silent loss.
func TestStoresLoseNothing(t *testing.T) {
	t.Parallel()
	p := newMapProgram(t, rand.New(rand.NewPCG(1, 29)), true)
	p.poison = nil
	var entries [][]byte
	l := &mapLife{r: rand.New(rand.NewPCG(1, 30)), entries: &entries, snapshot: &mapSnapshot{}}
	local := &Local{journal: l, deleted: make(chan struct{}, 1)}
	in := recoveredMap(t, p, l, true)
	var lost *LostBatchError
	for n := int64(2); ; n++ {
		err := in.apply(t.Context(), local, &Element{Number: n}, Outputs{})
		if err == nil && n <= maxHeld+1 {
			continue
		}
		if !errors.As(err, &lost) || lost.Want != 1 {
			t.Fatalf("element %d behind one that is lost: %v", n, err)
		}
		break
	}
	if err := in.apply(t.Context(), local, p.elements[0][0], Outputs{}); err == nil {
		t.Error("a state that is half-way takes another element")
	}
	entries = [][]byte{order{0, 1}.entry(nil), order{0, 2}.entry(nil)}
	in = recoveredMap(t, p, l, false)
	if err := in.apply(t.Context(), local, p.elements[0][1], Outputs{}); !errors.As(err, &lost) || lost.Want != 1 {
		t.Errorf("a script that begins in the middle: %v", err)
	}
}
