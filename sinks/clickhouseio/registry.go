package clickhouseio

import (
	"context"
	"errors"
	"sync"

	"github.com/microseg/microseg/engine"
)

// writers are those of a job in this process, by configuration: all instances of the sink
// with one configuration add to one writer, so that ClickHouse sees one insert
// a table and linger however many workers the runner has in the process.
type writers struct {
	mu    sync.Mutex
	of    map[Config]*lease
	ended bool
}

type lease struct {
	w    *Writer
	refs int
}

func writersOf(e *engine.Engine) *writers {
	return engine.Part(e, func() *writers { return &writers{of: map[Config]*lease{}} })
}

// Acquire returns the job's writer for cfg in this process, opening it when there is none.
// Each Acquire needs a Release; the last one closes the writer.
func Acquire(ctx context.Context, e *engine.Engine, cfg Config) (*Writer, error) {
	s := writersOf(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.of[cfg]
	if s.ended {
		return nil, &engine.UnknownError{Name: e.Name()}
	}
	// One that has failed stays failed; who comes anew begins anew.
	if l == nil || l.w.Err() != nil {
		w, err := Open(ctx, cfg)
		if err != nil {
			return nil, err
		}
		l = &lease{w: w}
		s.of[cfg] = l
	}
	l.refs++
	w := l.w
	return w, nil
}

// find is the job's writer for cfg, nil if there is none.
func find(e *engine.Engine, cfg Config) *Writer {
	s := engine.Look[writers](e)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.of[cfg]; l != nil {
		return l.w
	}
	return nil
}

// StatsOf are the stats and the error of the job's writer for cfg; ok is
// false when there is none.
func StatsOf(e *engine.Engine, cfg Config) (s Stats, ok bool, err error) {
	w := find(e, cfg)
	if w == nil {
		return Stats{}, false, nil
	}
	return w.Stats(), true, w.Err()
}

// Release gives back a writer from Acquire(e, cfg). The error is the writer's.
func Release(e *engine.Engine, cfg Config, w *Writer) error {
	s := writersOf(e)
	s.mu.Lock()
	l := s.of[cfg]
	if l == nil || l.w != w {
		s.mu.Unlock()
		return w.Close() // a failed one that was replaced
	}
	l.refs--
	last := l.refs == 0
	if last {
		delete(s.of, cfg)
	}
	s.mu.Unlock()
	if !last {
		return nil
	}
	return w.Close()
}

// Finish closes the job's writer for cfg, whoever holds it, after inserting
// what is pending: for the end of a pipeline on a runner that tears no worker
// down (Prism in process), whose writers would live on. It does nothing when
// there is none. The error is the writer's.
func Finish(e *engine.Engine, cfg Config) error {
	s := engine.Look[writers](e)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	l := s.of[cfg]
	delete(s.of, cfg)
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	return l.w.Close()
}

// Close closes the writers of a job that has not finished with them.
func (s *writers) Close() error {
	s.mu.Lock()
	s.ended = true
	left := s.of
	s.of = nil
	s.mu.Unlock()
	var errs []error
	for _, l := range left {
		errs = append(errs, l.w.Close())
	}
	return errors.Join(errs...)
}

// Confirm waits until no crash can lose what was added to the job's writer for
// cfg; there may be none.
func Confirm(ctx context.Context, e *engine.Engine, cfg Config) error {
	w := find(e, cfg)
	if w == nil {
		return nil
	}
	return w.Confirm(ctx)
}
