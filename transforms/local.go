package transforms

import (
	"context"
	"fmt"
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
	devices  []*deviceTask
	persons  []*task[*PersonState]
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
		d, mark, err := newDeviceTask(b, log, i, &from[i])
		if err != nil {
			return nil, fmt.Errorf("recovering device shard %d: %w", i, err)
		}
		if mark != nil {
			d.marked = journal.Append(i, deltaOf(mark))
		}
		p, err := newPersonTask(b, n+i, &from[n+i])
		if err != nil {
			return nil, fmt.Errorf("recovering person shard %d: %w", i, err)
		}
		l.devices, l.persons = append(l.devices, d), append(l.persons, p)
	}
	var err error
	l.audience, err = newAudienceMachine(b, 2*n, &from[2*n])
	if err != nil {
		return nil, fmt.Errorf("recovering the audience: %w", err)
	}
	return l, nil
}

// deviceTask is a device shard.
type deviceTask struct {
	task[*DeviceState]
	batches []identity.RawBatch // of the script, without their records
}

// newDeviceTask also returns what must be in the journal before anything else, if
// something must.
func newDeviceTask(b *Built, log LogReader, shard int, from *Recovered) (t *deviceTask, mark *wire.Header, err error) {
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
	g, err := NewDeviceStage(b, log)
	if err != nil {
		return nil, nil, err
	}
	s := NewDeviceState(b, log)
	limit := lower(lowered.of(-1, 0), b.Spec.limits().Devices)
	err = from.read(func(r *codec.Reader) (err error) {
		s, err = readDeviceState(r, b, log, limit)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	t = &deviceTask{task: newTask[*DeviceState](shard, g, s)}
	t.goOn(headers)
	mark = t.lower(b, shard, &lowered)
	t.owe(&lowered)
	return t, mark, nil
}

// goOn takes the batches that the journal has behind the snapshot.
func (t *deviceTask) goOn(headers []wire.Header) {
	seen := map[int]int64{}
	for i := range headers {
		h := &headers[i]
		// A bundle that was tried again is in the journal again.
		if t.read(order{h.Shard, h.ID}, nil, seen) {
			t.batches = append(t.batches, identity.RawBatch{Shard: h.Shard, ID: h.ID, Ranges: h.Ranges, Due: h.Due, Emitted: h.Emitted, Again: true, Semantics: h.Semantics, LegacyUntil: h.LegacyUntil, Limits: h.Limits, Poison: h.Poison})
			continue
		}
		for i := range t.batches { // a verdict comes behind its batch
			if b := &t.batches[i]; b.ID == h.ID {
				b.Poison = appendPlaces(b.Poison, h.Poison)
			}
		}
	}
}

// device applies a batch to a device shard.
func (l *Local) device(ctx context.Context, e *Element, out Outputs) error {
	return l.devices[e.Shard].apply(ctx, l, e, out)
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
	return offsets, m.state.last + 1, m.batches
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
	for _, b := range m.batches {
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

func newPersonTask(b *Built, number int, from *Recovered) (t *task[*PersonState], err error) {
	s := NewPersonState(b)
	if from.Snapshot != nil {
		if s, err = ReadPersonState(from.Snapshot, b); err != nil {
			return nil, err
		}
	}
	made := newTask[*PersonState](number, NewPersonStage(b), s)
	t = &made
	// The batches of several device shards come in any order; after a restart they are
	// applied in the order that the journal has.
	t.waits, t.senders = true, len(s.seqs)
	seen := map[int]int64{}
	for _, e := range from.Entries {
		o, without, err := readOrder(e, t.senders)
		if err != nil {
			return nil, err
		}
		t.read(o, without, seen)
	}
	return t, nil
}

// person applies a batch to a person shard, or keeps it until its turn.
func (l *Local) person(ctx context.Context, e *Element, out Outputs) error {
	return l.persons[e.Shard].apply(ctx, l, e, out)
}
