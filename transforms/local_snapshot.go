package transforms

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms/logstate"
)

// Archive is where snapshots of the machines go.
type Archive interface {
	// Begin starts the snapshot of a machine's state as of now: what is appended
	// to the machine's journal from here on is not in it. Close waits until the
	// archive has the snapshot whole.
	Begin(machine int) io.WriteCloser
}

// lookAgain is how often a snapshot looks whether the stages behind have come so far.
const lookAgain = 5 * time.Millisecond

// Snapshot writes the state of all machines, so that together they are a place
// from which the job can go on: whatever a device shard has sent before its
// snapshot is in those of the shards and the audience that it was sent to.
// It waits until a job that was recovered has caught up with its journal. It
// returns the last offsets of the topic of events that the snapshots have.
func (l *Local) Snapshot(ctx context.Context, a Archive) (map[int32]int64, error) {
	if err := l.wait(ctx, l.caughtUp); err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	n := l.built.Spec.Shards
	sent, told := make([][]int64, n), make([]int64, 2*n)
	for i, m := range l.devices {
		w, err := begin(&m.machine, a, i, func() logstate.State {
			sent[i], told[i] = append([]int64(nil), m.state.seqs...), m.state.told.seq
			m.state.shard.Partitions(func(id int32, p *identity.Partition) { offsets[id] = p.Offset })
			return m.state
		})
		if err := finish(w, err); err != nil {
			return nil, fmt.Errorf("writing the snapshot of device shard %d: %w", i, err)
		}
	}
	for i, m := range l.persons {
		if err := l.wait(ctx, func() (bool, error) { return m.covers(sent, i) }); err != nil {
			return nil, err
		}
		w, err := begin(&m.machine, a, n+i, func() logstate.State {
			told[n+i] = m.state.told.seq
			return m.state
		})
		if err := finish(w, err); err != nil {
			return nil, fmt.Errorf("writing the snapshot of person shard %d: %w", i, err)
		}
	}
	if err := l.wait(ctx, func() (bool, error) { return l.audience.covers(told) }); err != nil {
		return nil, err
	}
	if err := l.audience.snapshot(a, 2*n); err != nil {
		return nil, fmt.Errorf("writing the snapshot of the audience: %w", err)
	}
	return offsets, nil
}

// begin encodes a machine's state, which nobody changes meanwhile; writing it is
// for when others may go on.
func begin(m *machine, a Archive, number int, state func() logstate.State) (io.WriteCloser, error) {
	c := codec.Writer{B: make([]byte, 0, m.snapshot+m.snapshot/8)} // growing would copy it all, again and again
	m.mu.Lock()
	if m.broken != nil {
		defer m.mu.Unlock()
		return nil, m.broken
	}
	w := a.Begin(number)
	state().AppendTo(&c)
	m.mu.Unlock()
	m.snapshot = len(c.B)
	_, err := w.Write(c.B)
	return w, err
}

func finish(w io.WriteCloser, err error) error {
	if err != nil {
		return err
	}
	return w.Close()
}

// wait waits until ok says so.
func (l *Local) wait(ctx context.Context, ok func() (bool, error)) error {
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		if err := l.pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(lookAgain):
		return nil
	}
}

// IsCaughtUp reports whether everything that the journal had is applied again.
func (l *Local) IsCaughtUp() bool {
	ok, err := l.caughtUp()
	return ok && err == nil
}

// CaughtUp waits until everything that the journal had is applied again.
func (l *Local) CaughtUp(ctx context.Context) error { return l.wait(ctx, l.caughtUp) }

// caughtUp reports whether everything that the journal had is applied again.
func (l *Local) caughtUp() (bool, error) {
	left := 0
	for _, m := range l.devices {
		if err := m.look(func() { left += len(m.script) }); err != nil {
			return false, err
		}
	}
	for _, m := range l.persons {
		if err := m.look(func() { left += len(m.script) }); err != nil {
			return false, err
		}
	}
	return left == 0, nil
}

// look calls f while nothing is applied.
func (m *machine) look(f func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	return m.broken
}

// covers reports whether the shard has applied what the device shards had sent.
func (m *personMachine) covers(sent [][]int64, shard int) (ok bool, err error) {
	ok = true
	err = m.look(func() {
		for from := range sent {
			ok = ok && m.state.seqs[from] >= sent[from][shard]
		}
	})
	return ok, err
}

// covers reports whether the audience has heard what the reporters had told.
func (m *audienceMachine) covers(told []int64) (ok bool, err error) {
	ok = true
	err = m.look(func() {
		for reporter, seq := range told {
			s := m.state.Shards[reporter]
			ok = ok && (seq == 0 || s != nil && s.Seq >= seq)
		}
	})
	return ok, err
}

func (m *audienceMachine) snapshot(a Archive, number int) error {
	m.mu.Lock()
	b, err := json.Marshal(m.state)
	w := a.Begin(number)
	m.mu.Unlock()
	if err == nil {
		_, err = w.Write(b)
	}
	return finish(w, err)
}
