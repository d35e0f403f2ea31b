package transforms

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
)

// Archive is where snapshots of the machines go.
type Archive interface {
	// Begin starts the snapshot of a machine's state as of now: what is appended
	// to the machine's journal from here on is not in it. Close waits until the
	// archive has the snapshot whole.
	Begin(ctx context.Context, machine int) io.WriteCloser
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
		err := l.save(ctx, &m.machine, a, i, m.state, func() {
			sent[i], told[i] = append([]int64(nil), m.state.seqs...), m.state.told.seq
			m.state.shard.Partitions(func(id int32, p *identity.Partition) { offsets[id] = p.Offset })
		})
		if err != nil {
			return nil, fmt.Errorf("writing the snapshot of device shard %d: %w", i, err)
		}
	}
	for i, m := range l.persons {
		if err := l.wait(ctx, func() (bool, error) { return covers(m, sent, i) }); err != nil {
			return nil, err
		}
		if err := l.save(ctx, &m.machine, a, n+i, m.state, func() { told[n+i] = m.state.told.seq }); err != nil {
			return nil, fmt.Errorf("writing the snapshot of person shard %d: %w", i, err)
		}
	}
	if err := l.wait(ctx, func() (bool, error) { return l.audience.covers(told) }); err != nil {
		return nil, err
	}
	if err := l.audience.snapshot(ctx, a, 2*n); err != nil {
		return nil, fmt.Errorf("writing the snapshot of the audience: %w", err)
	}
	return offsets, nil
}

// saved is a state that can be written while it goes on.
type saved interface {
	Save(w *codec.Writer)
	SaveSome(w *codec.Writer, n int) bool
}

// Of a snapshot: how many devices or persons are written while nobody may change
// any, about a millisecond's worth; and bytes that are handed on at once.
const (
	saveAtOnce = 400
	writeAt    = 512 << 10
)

// save writes the snapshot of a machine as of now, while batches are applied in
// between; cut is called at its moment.
func (l *Local) save(ctx context.Context, m *machine, a Archive, number int, s saved, cut func()) error {
	var c codec.Writer
	var w io.WriteCloser
	if err := m.look(func() {
		cut()
		w = a.Begin(ctx, number)
		s.Save(&c)
	}); err != nil {
		return err
	}
	for more := true; more; {
		start := time.Now()
		if err := m.look(func() { more = s.SaveSome(&c, l.atOnce) }); err != nil {
			return err
		}
		if err := l.pace(ctx, time.Since(start)); err != nil {
			return err
		}
		if len(c.B) < writeAt && more {
			continue
		}
		if _, err := w.Write(c.B); err != nil {
			return err
		}
		c.B = c.B[:0]
	}
	return w.Close()
}

// paceBy is how much longer than it took to write a few devices nothing is written
// then: a snapshot takes a third of a core.
const paceBy = 2

func pace(ctx context.Context, took time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(paceBy * took):
		return nil
	}
}

// Hurry makes snapshots go as fast as they can: nobody waits for batches any more.
func (l *Local) Hurry() {
	l.pace = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
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
func covers(m *task[*PersonState], sent [][]int64, shard int) (ok bool, err error) {
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
		// What a process that is gone has decided leaves with the next counts; a
		// snapshot before that would make the journal void which has it.
		ok = len(m.unsaid) == 0
		for reporter, seq := range told {
			s := m.state.Shards[reporter]
			ok = ok && (seq == 0 || s != nil && s.Seq >= seq)
		}
	})
	return ok, err
}

func (m *audienceMachine) snapshot(ctx context.Context, a Archive, number int) error {
	m.mu.Lock()
	b, err := json.Marshal(m.state)
	w := a.Begin(ctx, number)
	m.mu.Unlock()
	if err == nil {
		_, err = w.Write(b)
	}
	if err != nil {
		return err
	}
	return w.Close()
}
