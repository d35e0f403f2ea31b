package transforms

import (
	"context"
	"fmt"
	"sync"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
)

// localStore is the Store of states in this process: what applies an element for its shard.
type localStore func(ctx context.Context, e *Element, out Outputs) error

// Apply implements Store; what the runner keeps does not matter.
func (s localStore) Apply(ctx context.Context, _ Cells, e *Element, out Outputs) error {
	return s(ctx, e, out)
}

// machine is what all that has a part of the journal shares. An element that fails half-way
// leaves a state that nobody may look at: the process must start again.
type machine struct {
	mu     sync.Mutex
	broken error
	number int // of its part of the journal
}

// do runs f alone; whatever fails breaks the machine.
func (m *machine) do(f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return fmt.Errorf("the state is half-way through a batch that failed; restart the job: %w", m.broken)
	}
	m.broken = f()
	return m.broken
}

// journalled is a stage whose elements are in the journal before anybody sees what comes
// of them.
type journalled[S any] interface {
	stage[S]
	// entry is the element's in the journal, or the verdict that it is applied without some records.
	entry(e *Element, without []identity.Place) ([]byte, error)
	// last is the number of the last element of a sender that the state has.
	last(s S, from int) int64
	// forgets reports whether the last element has deleted somebody, whom snapshots still have.
	forgets() bool
}

// task is a shard whose state is in this process.
type task[S any] struct {
	machine
	stage journalled[S]
	state S
	// waits says that what comes before its turn is held until then; else whatever is new has its turn.
	waits   bool
	senders int                        // there are, where elements wait
	script  []order                    // elements that were applied since the snapshot, in their order
	poison  map[order][]identity.Place // what is left out of elements of the script
	held    map[order]*Element         // those that came before their turn
	retold  retold                     // while there is a script
	marked  func(context.Context) error
}

func newTask[S any](number int, g journalled[S], s S) task[S] {
	return task[S]{machine: machine{number: number}, stage: g, state: s, poison: map[order][]identity.Place{}, held: map[order]*Element{}}
}

// order is a place in the order in which a shard applies elements.
type order struct {
	from int
	seq  int64
}

// apply applies an element, or keeps it until its turn.
func (t *task[S]) apply(ctx context.Context, l *Local, e *Element, out Outputs) error {
	return t.do(func() error {
		o := e.order()
		switch {
		case o.seq <= t.stage.last(t.state, o.from):
			return nil // the runner gives it twice, or too late: it was read again from the log
		case t.waits:
			t.held[o] = e
			if err := t.release(ctx, l, out); err != nil {
				return err
			}
			return t.missing(o)
		case len(t.script) > 0 && t.script[0] != o:
			// Read again from the log it would be cut otherwise, and decided otherwise.
			return &LostBatchError{From: o.from, Want: t.script[0].seq, Got: o.seq}
		}
		return t.run(ctx, l, e, out)
	})
}

// release applies what has its turn: by the script, and behind its end what
// follows the last one of its sender.
func (t *task[S]) release(ctx context.Context, l *Local, out Outputs) error {
	for len(t.script) > 0 {
		e, here := t.held[t.script[0]]
		if !here {
			return nil
		}
		if err := t.run(ctx, l, e, out); err != nil {
			return err
		}
	}
	for from := range t.senders {
		for {
			e, here := t.held[order{from, t.stage.last(t.state, from) + 1}]
			if !here {
				break
			}
			if err := t.run(ctx, l, e, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxHeld is how many elements wait for an earlier one before it counts as lost.
// Prism's flatten of the lanes may let one overtake another, by a few.
const maxHeld = 4096

// missing reports whether an element has not come for so long that it is lost.
func (t *task[S]) missing(got order) error {
	if len(t.script) == 0 && len(t.held) > maxHeld {
		return &LostBatchError{From: got.from, Want: t.stage.last(t.state, got.from) + 1, Got: got.seq}
	}
	return nil
}

// run applies an element whose turn it is: one of the script, which the journal has, or one
// that nobody has applied before.
func (t *task[S]) run(ctx context.Context, l *Local, e *Element, out Outputs) error {
	o, again, records := e.order(), len(t.script) > 0, out.Records
	delete(t.held, o)
	if again {
		t.script = t.script[1:]
		out.Records, out.Untold = t.retold.take, t.retold.drop
		out.Sure, t.marked = t.marked, nil
	} else {
		entry, err := t.stage.entry(e, nil)
		if err != nil {
			return err
		}
		out.Sure = l.journal.Append(t.number, entry)
	}
	without := t.poison[o]
	delete(t.poison, o)
	_, leave, err := attempt(ctx, t.stage, t.state, e, without, out)
	if p := poisoned(err); p != nil {
		entry, err := t.stage.entry(e, appendPlaces(without, p.Places))
		if err != nil {
			return err
		}
		return l.decide(ctx, p, t.number, entry)
	}
	if err == nil {
		err = leave(ctx)
	}
	if t.stage.forgets() {
		select {
		case l.deleted <- struct{}{}:
		default:
		}
	}
	if err == nil && again && len(t.script) == 0 {
		err = t.retold.leave(records)
	}
	return err
}

// LostBatchError says that the runner lost a batch where it cannot be read again
// from the log. The job must start again: it goes on from its journal.
type LostBatchError struct {
	From      int
	Want, Got int64
}

func (e *LostBatchError) Error() string {
	return fmt.Sprintf("a batch of device shard %d is missing: number %d came before %d; restart the job, it goes on from its changelog", e.From, e.Got, e.Want)
}

// entry is the order as the journal has it, with what is left out of the element; none:
// it is the element's own entry, not a verdict behind it.
func (o order) entry(without []identity.Place) []byte {
	var w codec.Writer
	w.Int(int64(o.from))
	w.Int(o.seq)
	if len(without) > 0 {
		appendPoison(&w, without)
	}
	return w.B
}

// readOrder reads what entry wrote; senders is how many there are.
func readOrder(b []byte, senders int) (o order, without []identity.Place, err error) {
	r := codec.Reader{B: b}
	o = order{int(r.Int()), r.Int()}
	if r.Err() != nil || o.from < 0 || o.from >= senders {
		return o, nil, fmt.Errorf("reading an entry of the journal: %w", codec.ErrCorrupt)
	}
	if len(r.B) > 0 {
		if without = readPoison(&r); r.Err() != nil {
			return o, nil, fmt.Errorf("reading a verdict in the journal: %w", r.Err())
		}
	}
	return o, without, nil
}

// read puts an entry of the journal into the task's script; false: it is there already, or
// the state has it.
func (t *task[S]) read(o order, without []identity.Place, seen map[int]int64) (added bool) {
	last, ok := seen[o.from]
	if !ok {
		last = t.stage.last(t.state, o.from)
	}
	if added = o.seq > last; added {
		t.script = append(t.script, o)
		seen[o.from] = o.seq
	}
	if len(without) > 0 {
		t.poison[o] = appendPlaces(t.poison[o], without)
	}
	return added
}
