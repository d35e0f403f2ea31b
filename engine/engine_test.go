package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

type counter struct {
	n      int
	closed *[]string
	name   string
}

func (c *counter) Close() error {
	*c.closed = append(*c.closed, c.name)
	return errors.New(c.name)
}

type other struct{ counter }

func (o *other) Close() error { return o.counter.Close() }

// TestJobsAreApart: jobs of one process, at the same time, never see what is another's; each
// has one value of a type, whoever asks; what closes does so once, last made first.
func TestJobsAreApart(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	for i := range 20 {
		running.Go(func() {
			name := fmt.Sprint(t.Name(), i)
			job := New(name)
			if err := job.Open(); err != nil {
				t.Error(err)
			}
			var taken *TakenError
			if err := New(name).Open(); !errors.As(err, &taken) {
				t.Errorf("a second job of the name: %v", err)
			}
			var closed []string
			var asking sync.WaitGroup
			for range 10 {
				asking.Go(func() {
					e, err := Of(name)
					if err != nil {
						t.Error(err)
						return
					}
					c := Part(e, func() *counter { return &counter{closed: &closed, name: "first"} })
					e.mu.Lock()
					c.n++
					e.mu.Unlock()
				})
			}
			asking.Wait()
			if c := Look[counter](job); c == nil || c.n != 10 {
				t.Errorf("the job's part is %+v", c)
			}
			if Look[other](job) != nil {
				t.Error("a part that nobody has made")
			}
			Part(job, func() *other { return &other{counter{closed: &closed, name: "second"}} })
			err := job.Close()
			if err == nil || !slices.Equal(closed, []string{"second", "first"}) {
				t.Errorf("closed are %v (%v)", closed, err)
			}
			if err := job.Close(); err != nil || len(closed) != 2 {
				t.Errorf("closed twice: %v, %v", closed, err)
			}
		})
	}
	running.Wait()
}

// TestEndedJobsAreGone: a DoFn that was set up after its job had ended found no state, took
// the job for one whose runner keeps it, and decided from nothing.
func TestEndedJobsAreGone(t *testing.T) {
	t.Parallel()
	e := New(t.Name())
	if err := e.Open(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	var unknown *UnknownError
	if _, err := Of(t.Name()); !errors.As(err, &unknown) {
		t.Errorf("of a job that has ended: %v", err)
	}
	if err := e.Open(); !errors.As(err, &unknown) {
		t.Errorf("a job that has ended is opened again: %v", err)
	}
	select {
	case <-e.Stopping():
	default:
		t.Error("what a job that has ended left at work is not told to stop")
	}
	if slices.Contains(Opened(), t.Name()) {
		t.Error("it is still known")
	}
	if Look[counter](nil) != nil {
		t.Error("a job without an engine has parts")
	}
}

// TestWorkers: in a process that others' jobs use, the first who asks makes the engine.
// Not parallel: whether a process is one is everybody's.
func TestWorkers(t *testing.T) {
	Worker()
	defer worker.Store(false)
	a, err := Of("elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if b, _ := Of("elsewhere"); a != b {
		t.Error("each DoFn has an engine of its own")
	}
}
