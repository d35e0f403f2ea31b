package transforms

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/runner"
)

// slowLog is a log that does not answer, once asked, before the context ends.
type slowLog struct {
	asked chan struct{}
	once  atomic.Bool
}

func newSlowLog() *slowLog { return &slowLog{asked: make(chan struct{})} }

// ReadRange implements LogReader.
func (l *slowLog) ReadRange(ctx context.Context, _ int32, _, _ int64, _ func(identity.Record) error) error {
	if l.once.CompareAndSwap(false, true) {
		close(l.asked)
	}
	<-ctx.Done()
	return ctx.Err()
}

// endsWith calls f, cancels its context once f waits for the log, and wants f to end with that.
func (l *slowLog) endsWith(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case <-l.asked:
	case err := <-done:
		t.Fatalf("it did not read the log: %v", err)
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it goes on reading the log after the job's context has ended")
	}
}

// TestCancelledJobReadsNoLog: what reads the log again did so with a context of its own.
// A job that was told to stop while its log did not answer went on for as long as that took:
// it had to be killed.
func TestCancelledJobReadsNoLog(t *testing.T) {
	t.Parallel()
	make := func(t *testing.T) (*Built, *slowLog, []element) {
		spec := testSpec(t, t.Name(), 1, 1)
		b, err := spec.buildOnce()
		check(t, err)
		l := randomLog(rand.New(rand.NewPCG(1, 3)), 1, 60, true, false)
		return b, newSlowLog(), l.cut(t, &spec, rand.New(rand.NewPCG(1, 4)))
	}
	t.Run("a gap", func(t *testing.T) {
		b, log, elements := make(t)
		g, err := NewDeviceStage(b, log)
		check(t, err)
		s := NewDeviceState(b, log)
		log.endsWith(t, func(ctx context.Context) error {
			_, _, err := g.Apply(ctx, s, elements[len(elements)-1].batch, Outputs{})
			return err
		})
	})
	t.Run("a state that is loaded", func(t *testing.T) {
		b, log, elements := make(t)
		g, err := NewDeviceStage(b, log)
		check(t, err)
		done, _, err := g.Apply(t.Context(), NewDeviceState(b, log), elements[0].batch, Outputs{})
		check(t, err)
		log.endsWith(t, func(ctx context.Context) error {
			return NewDeviceState(b, log).Replay(ctx, [][]byte{done[0].delta})
		})
	})
	t.Run("a device that is made anew", func(t *testing.T) {
		b, log, _ := make(t)
		g, err := NewDeviceStage(b, log)
		check(t, err)
		log.endsWith(t, func(ctx context.Context) error {
			_, err := g.meanwhile(ctx, 0, &identity.Part{}, 10, nil, nil, nil)
			return err
		})
	})
	t.Run("the texts of late events", func(t *testing.T) {
		b, log, _ := make(t)
		g, err := NewDeviceStage(b, log)
		check(t, err)
		g.out.Dead = []identity.DeadLetter{{Offset: 3}}
		log.endsWith(t, g.payloads)
	})
	t.Run("a run", func(t *testing.T) {
		b, log, elements := make(t)
		testLogs.Store(b.Spec.Job, log)
		openJob(t, &b.Spec)
		p, s := beam.NewPipelineWithRoot()
		batches := numberedIn(s, elements[len(elements)-1:])
		Devices(s, b.Spec, LogSpec{Name: "test", Settings: []byte(b.Spec.Job)}, batches)
		log.endsWith(t, func(ctx context.Context) error {
			_, err := beam.Run(ctx, runner.Name, p)
			return err
		})
	})
}

// TestCancelledJobAwaitsNoJournal: a log that does not take a batch's entry keeps a job
// that was cancelled no longer.
func TestCancelledJobAwaitsNoJournal(t *testing.T) {
	t.Parallel()
	spec := testSpec(t, t.Name(), 1, 1)
	b, err := spec.buildOnce()
	check(t, err)
	l := randomLog(rand.New(rand.NewPCG(1, 3)), 1, 60, true, false)
	journal := &slowJournal{log: newSlowLog()}
	local, err := NewLocal(b, l, journal, nil)
	check(t, err)
	for _, e := range l.cut(t, &spec, rand.New(rand.NewPCG(1, 4)))[:1] {
		left := 0
		journal.log.endsWith(t, func(ctx context.Context) error {
			to, err := eventsFor(e.key, e.batch)
			check(t, err)
			return local.device(ctx, to, Outputs{Vectors: func(int, []byte) { left++ }, Counts: func(int, []byte) { left++ }})
		})
		if left > 0 {
			t.Error(fmt.Sprint(left, " things left before the journal had the batch"))
		}
	}
}

type slowJournal struct{ log *slowLog }

// Append implements Journal.
func (j *slowJournal) Append(int, []byte) func(context.Context) error {
	return func(ctx context.Context) error { return j.log.ReadRange(ctx, 0, 0, 0, nil) }
}
