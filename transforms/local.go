package transforms

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms/wire"
)

// Journal is the log of what the machines of a job apply: device shards first,
// then person shards, then the audience. Whoever reads it makes the same
// decisions again.
type Journal interface {
	// Append adds an entry behind all others of the machine and does not wait;
	// sure does, until a restart will find the entry.
	Append(machine int, entry []byte) (sure func(context.Context) error)
}

// Local is a job whose state lives in this process and, for the next one, in a
// journal with snapshots: for runners that keep no state when they are killed.
// What the runner believes of the state does not matter: batches are numbered.
type Local struct {
	built    *Built
	journal  Journal
	devices  []*deviceMachine
	persons  []*personMachine
	audience *audienceMachine
	pause    func(context.Context) error                // while a snapshot waits
	pace     func(context.Context, time.Duration) error // after a piece of a snapshot, which took so long
	atOnce   int                                        // devices or persons of a piece
	deleted  chan struct{}
	poison   atomic.Pointer[PoisonError] // the first one whose verdict is in the journal
}

// Recovered is what a process that is gone has left of a machine.
type Recovered struct {
	Snapshot []byte // nil: none was made, or Open brings it
	// Open brings the snapshot piece by piece, where it is too large to be in memory beside
	// the state: next says the pieces, none at the end. It may be nil.
	Open    func() (next func() ([]byte, error), stop func())
	Entries [][]byte // journal since then
}

// ReadsPieces reports whether a machine's snapshot may be brought by Recovered.Open: those of
// device shards are large.
func ReadsPieces(machine, machines int) bool { return machine < (machines-1)/2 }

// read reads the snapshot, if there is one.
func (from *Recovered) read(f func(r *codec.Reader) error) error {
	switch {
	case from.Open != nil:
		next, stop := from.Open()
		defer stop()
		return f(&codec.Reader{More: next})
	case from.Snapshot != nil:
		return f(&codec.Reader{B: from.Snapshot})
	}
	return nil
}

// NewLocal makes the states of a job, as left by another process; from is empty
// for a new job, else by number of the machine.
func NewLocal(b *Built, log LogReader, journal Journal, from []Recovered) (*Local, error) {
	n := b.Spec.Shards
	if from == nil {
		from = make([]Recovered, 2*n+1)
	}
	if len(from) != 2*n+1 {
		return nil, fmt.Errorf("the journal is of %d machines, the job has %d", len(from), 2*n+1)
	}
	l := &Local{built: b, journal: journal, pause: pause, pace: pace, atOnce: saveAtOnce, deleted: make(chan struct{}, 1)}
	for i := range n {
		d, mark, err := newDeviceMachine(b, log, i, &from[i])
		if err != nil {
			return nil, fmt.Errorf("recovering device shard %d: %w", i, err)
		}
		if mark != nil {
			d.marked = journal.Append(i, deltaOf(mark))
		}
		p, err := newPersonMachine(b, &from[n+i])
		if err != nil {
			return nil, fmt.Errorf("recovering person shard %d: %w", i, err)
		}
		l.devices, l.persons = append(l.devices, d), append(l.persons, p)
	}
	var err error
	l.audience, err = newAudienceMachine(b, &from[2*n])
	if err != nil {
		return nil, fmt.Errorf("recovering the audience: %w", err)
	}
	return l, nil
}

// machine is what the three kinds share. A batch that fails half-way leaves a
// state that nobody may look at: the process must start again.
type machine struct {
	mu     sync.Mutex
	broken error
	retold retold // while there is a script
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

// deviceMachine is a device shard.
type deviceMachine struct {
	machine
	stage  *DeviceStage
	state  *DeviceState
	script []identity.RawBatch         // batches that were applied since the snapshot, without their records
	marked func(context.Context) error // waits until the journal has the lower limit; nil: there is none
}

// newDeviceMachine also returns what must be in the journal before anything else, if
// something must.
func newDeviceMachine(b *Built, log LogReader, shard int, from *Recovered) (m *deviceMachine, mark *wire.Header, err error) {
	m = &deviceMachine{}
	if m.stage, err = NewDeviceStage(b, log); err != nil {
		return nil, nil, err
	}
	var headers []wire.Header
	var lowered lowered
	for _, e := range from.Entries {
		h, err := wire.ReadHeader(e)
		if err != nil {
			return nil, nil, fmt.Errorf("reading an entry of the journal: %w", err)
		}
		if !lowered.take(&h) {
			headers = append(headers, h)
		}
	}
	m.state = NewDeviceState(b, log)
	limit := lower(lowered.of(-1, 0), b.Spec.limits().Devices)
	err = from.read(func(r *codec.Reader) (err error) {
		m.state, err = readDeviceState(r, b, log, limit)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	m.goOn(headers)
	mark = m.lower(b, shard, &lowered)
	m.owe(&lowered)
	return m, mark, nil
}

// goOn takes the batches that the journal has behind the snapshot.
func (m *deviceMachine) goOn(headers []wire.Header) {
	last := m.state.last
	for i := range headers {
		h := &headers[i]
		// A bundle that was tried again is in the journal again.
		if h.ID > last {
			m.script = append(m.script, identity.RawBatch{Shard: h.Shard, ID: h.ID, Ranges: h.Ranges, Due: h.Due, Emitted: h.Emitted, Again: true, Semantics: h.Semantics, LegacyUntil: h.LegacyUntil, Limits: h.Limits, Poison: h.Poison})
			last = h.ID
			continue
		}
		for i := range m.script { // a verdict comes behind its batch
			if b := &m.script[i]; b.ID == h.ID {
				b.Poison = appendPlaces(b.Poison, h.Poison)
			}
		}
	}
}

// device applies a batch to a device shard.
func (l *Local) device(ctx context.Context, shard int, batch []byte, out Outputs) (h wire.Header, err error) {
	m := l.devices[shard]
	if h, err = wire.ReadHeader(batch); err != nil {
		return h, err
	}
	return h, m.do(func() error {
		if h.ID <= m.state.last {
			return nil // the runner gives it twice, or too late: it was read again from the log
		}
		again, records := len(m.script) > 0, out.Records
		m.stage.untold = nil
		switch {
		case !again:
			out.Sure = l.journal.Append(shard, deltaOf(&h))
		case m.script[0].ID == h.ID:
			m.script = m.script[1:] // the journal has it
			out.Records = m.retold.take
			m.stage.untold = m.retold.drop
		default: // read again from the log it would be cut otherwise, and decided otherwise
			return &LostBatchError{From: shard, Want: m.script[0].ID, Got: h.ID}
		}
		if m.marked != nil && again {
			out.Sure, m.marked = m.marked, nil
		}
		held, leave := out.hold()
		err := guard("device", m.stage.suspects, func() error {
			_, _, err := m.stage.Apply(ctx, m.state, batch, held)
			return err
		})
		if p := poisoned(err); p != nil {
			h.Poison = appendPlaces(h.Poison, p.Places)
			return l.decide(ctx, p, shard, deltaOf(&h))
		}
		if err == nil {
			err = leave(ctx)
		}
		if m.stage.compact {
			select {
			case l.deleted <- struct{}{}:
			default:
			}
		}
		if err == nil && again && len(m.script) == 0 {
			err = m.retold.leave(records)
		}
		return err
	})
}

// Deleted tells that somebody was deleted who is still in the last snapshots.
func (l *Local) Deleted() <-chan struct{} { return l.deleted }

// Resume says where a device shard's source goes on: the offset after the last
// one applied of each partition, and the batches that it must cut as before. next
// is the number of the first batch.
func (l *Local) Resume(shard int) (offsets map[int32]int64, next int64, script []identity.RawBatch) {
	m := l.devices[shard]
	offsets = map[int32]int64{}
	m.state.shard.Partitions(func(id int32, p *identity.Partition) { offsets[id] = p.Offset + 1 })
	return offsets, m.state.last + 1, m.script
}

// Quiet is for how long (ms) each partition of a device shard had been without
// records at the last batch that the process which is gone has applied.
func (l *Local) Quiet(shard int) map[int32]int64 {
	m, quiet := l.devices[shard], map[int32]int64{}
	m.state.shard.Partitions(func(id int32, p *identity.Partition) {
		if p.Clock > 0 {
			quiet[id] = p.Time - p.Clock
		}
	})
	for _, b := range m.script {
		for _, r := range b.Ranges {
			if r.Last >= r.First || r.Idle > 0 {
				quiet[r.Partition] = max(0, r.Idle)
			}
		}
	}
	return quiet
}

// Profiles is how many devices and users the states hold.
func (l *Local) Profiles() (n int) {
	for _, m := range l.devices {
		m.look(func() { n += m.state.Devices() })
	}
	for _, m := range l.persons {
		m.look(func() { n += m.state.persons.Persons() })
	}
	return n
}

// order is a place in the order in which a person shard applies batches.
type order struct {
	from int // device shard
	seq  int64
}

func (o order) entry() []byte {
	var w codec.Writer
	w.Int(int64(o.from))
	w.Int(o.seq)
	return w.B
}

// verdict is the entry behind that of the batch which says what is left out of it.
func (o order) verdict(poison []identity.Place) []byte {
	w := codec.Writer{B: o.entry()}
	appendPoison(&w, poison)
	return w.B
}

// personMachine is a person shard. The batches of several device shards come in
// any order; after a restart they are applied in the order that the journal has.
type personMachine struct {
	machine
	stage  *PersonStage
	state  *PersonState
	script []order
	poison map[order][]identity.Place // what is left out of batches of the script
	held   map[order][]byte           // batches that came before their turn
}

func newPersonMachine(b *Built, from *Recovered) (m *personMachine, err error) {
	m = &personMachine{stage: NewPersonStage(b), state: NewPersonState(b), held: map[order][]byte{}, poison: map[order][]identity.Place{}}
	if from.Snapshot != nil {
		if m.state, err = ReadPersonState(from.Snapshot, b); err != nil {
			return nil, err
		}
	}
	seen := append([]int64(nil), m.state.seqs...)
	for _, e := range from.Entries {
		r := codec.Reader{B: e}
		o := order{int(r.Int()), r.Int()}
		if r.Err() != nil || o.from < 0 || o.from >= len(seen) {
			return nil, fmt.Errorf("reading an entry of the journal: %w", codec.ErrCorrupt)
		}
		if o.seq > seen[o.from] {
			m.script = append(m.script, o)
			seen[o.from] = o.seq
		}
		if len(r.B) > 0 {
			if m.poison[o] = appendPlaces(m.poison[o], readPoison(&r)); r.Err() != nil {
				return nil, fmt.Errorf("reading a verdict in the journal: %w", r.Err())
			}
		}
	}
	return m, nil
}

// person applies a batch to a person shard, or keeps it until its turn.
func (l *Local) person(ctx context.Context, shard int, batch []byte, out Outputs) (h wire.Header, err error) {
	m := l.persons[shard]
	if h, err = wire.ReadHeader(batch); err != nil {
		return h, err
	}
	return h, m.do(func() error {
		o := order{h.Shard, h.Seq}
		if o.seq <= m.state.seqs[o.from] {
			return nil
		}
		m.held[o] = batch
		if err := l.release(ctx, shard, out); err != nil {
			return err
		}
		return m.missing(o)
	})
}

// release applies what has its turn: by the script, and behind its end what
// follows the last one of its device shard.
func (l *Local) release(ctx context.Context, shard int, out Outputs) error {
	m := l.persons[shard]
	for len(m.script) > 0 {
		batch, here := m.held[m.script[0]]
		if !here {
			return nil
		}
		o := m.script[0]
		delete(m.held, o)
		m.script = m.script[1:]
		again := out
		again.Records = m.retold.take
		if err := l.apply(ctx, shard, o, batch, again); err != nil {
			return err
		}
		if len(m.script) == 0 {
			if err := m.retold.leave(out.Records); err != nil {
				return err
			}
		}
	}
	for from := range m.state.seqs {
		for {
			o := order{from, m.state.seqs[from] + 1}
			batch, here := m.held[o]
			if !here {
				break
			}
			delete(m.held, o)
			if err := l.next(ctx, shard, o, batch, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxHeld is how many batches wait for an earlier one before it counts as lost.
// Prism's flatten of the lanes may let one overtake another, by a few.
const maxHeld = 4096

// missing reports whether a batch has not come for so long that it is lost.
func (m *personMachine) missing(got order) error {
	if len(m.script) == 0 && len(m.held) > maxHeld {
		return &LostBatchError{From: got.from, Want: m.state.seqs[got.from] + 1, Got: got.seq}
	}
	return nil
}

// next applies a batch that nobody has applied before.
func (l *Local) next(ctx context.Context, shard int, o order, batch []byte, out Outputs) error {
	out.Sure = l.journal.Append(l.built.Spec.Shards+shard, o.entry())
	return l.apply(ctx, shard, o, batch, out)
}

// apply applies a batch without what the journal says to leave out of it.
func (l *Local) apply(ctx context.Context, shard int, o order, batch []byte, out Outputs) error {
	m := l.persons[shard]
	bad := m.poison[o]
	if delete(m.poison, o); len(bad) > 0 {
		batch = wire.WithPoison(batch, bad)
	}
	held, leave := out.hold()
	err := guard("person", m.stage.suspects, func() error {
		_, err := m.stage.Apply(ctx, m.state, shard, batch, held)
		return err
	})
	if p := poisoned(err); p != nil {
		return l.decide(ctx, p, l.built.Spec.Shards+shard, o.verdict(appendPlaces(bad, p.Places)))
	}
	if err != nil {
		return err
	}
	return leave(ctx)
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
