// Package engine holds what one job has in this process: one value a job, by its name.
//
// Beam decodes DoFns wherever and as often as it likes, so what they share (readers,
// writers, states, measurements) cannot be in them. Whoever builds a job's pipeline makes
// its Engine, opens it before the pipeline runs, and closes it once the job has ended; a
// DoFn finds it by the job's name, once, in Setup. Each room keeps what is its own there,
// as a part of a type that nobody else knows:
//
//	e, err := engine.Of(fn.Job)
//	fn.readers = engine.Part(e, newReaders)
//
// Why it is as it is: docs/adr/0029-engine.md.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
)

// Engine is what a job has in this process. It is safe for concurrent use; a nil one is
// that of a job which has nothing here.
type Engine struct {
	name string

	mu     sync.Mutex
	parts  map[reflect.Type]any
	closer []io.Closer // parts that want to know of the end, in the order in which they were made
	ended  bool

	stop     chan struct{}
	stopOnce sync.Once
	ctx      context.Context
	cancel   context.CancelFunc
}

// New makes an engine that nobody finds before it is opened.
func New(name string) *Engine {
	e := &Engine{name: name, parts: map[reflect.Type]any{}, stop: make(chan struct{})}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Name is the job's.
func (e *Engine) Name() string { return e.name }

var (
	mu     sync.Mutex
	opened = map[string]*Engine{}
	worker atomic.Bool
)

// TakenError says that a job of this process has the name already.
type TakenError struct{ Name string }

func (err *TakenError) Error() string {
	return fmt.Sprintf("a job named %q runs in this process already; stop it first", err.Name)
}

// UnknownError says that no job of the name runs here: it has ended, or nobody has opened
// its engine.
type UnknownError struct{ Name string }

func (err *UnknownError) Error() string {
	return fmt.Sprintf("no job named %q runs in this process: it has ended, or was never started here", err.Name)
}

// Open makes the engine known to the DoFns of its job.
func (e *Engine) Open() error {
	mu.Lock()
	defer mu.Unlock()
	if opened[e.name] != nil {
		return &TakenError{e.name}
	}
	if e.hasEnded() {
		return &UnknownError{e.name}
	}
	opened[e.name] = e
	return nil
}

// Worker says that this process works for jobs that were built in another one: the first
// DoFn of a job that asks opens its engine, and it lasts as long as the process.
func Worker() { worker.Store(true) }

// Of is the engine of a job. A DoFn that is set up when its job has ended gets an
// UnknownError: without the state of the others it would decide anew.
func Of(name string) (*Engine, error) {
	mu.Lock()
	defer mu.Unlock()
	if e := opened[name]; e != nil {
		return e, nil
	}
	if !worker.Load() {
		return nil, &UnknownError{name}
	}
	e := New(name)
	opened[name] = e
	return e, nil
}

// Opened names the jobs that have not been closed in this process, for tests of what is left
// behind.
func Opened() (names []string) {
	mu.Lock()
	defer mu.Unlock()
	for name := range opened {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Part is the engine's one value of type T. The first who asks makes it; make must not ask
// for parts itself. One that is an io.Closer is closed with the engine, those made last first.
func Part[T any](e *Engine, make func() *T) *T {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := reflect.TypeFor[T]()
	if p, ok := e.parts[key]; ok {
		return p.(*T)
	}
	p := make()
	e.parts[key] = p
	c, closes := any(p).(io.Closer)
	switch {
	case closes && e.ended:
		_ = c.Close() // it is empty: it refuses what comes
	case closes:
		e.closer = append(e.closer, c)
	}
	return p
}

// Look is the engine's value of type T, nil while nobody has made one.
func Look[T any](e *Engine) *T {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p, _ := e.parts[reflect.TypeFor[T]()].(*T)
	return p
}

// Stop tells the job's sources to end: their elements finish, and the pipeline drains.
func (e *Engine) Stop() { e.stopOnce.Do(func() { close(e.stop) }) }

// Stopping is closed by Stop.
func (e *Engine) Stopping() <-chan struct{} { return e.stop }

// Context is that of the job's run; it ends with Abort, and with Close.
func (e *Engine) Context() context.Context { return e.ctx }

// Abort ends the run where it is, for one that has failed.
func (e *Engine) Abort() { e.cancel() }

func (e *Engine) hasEnded() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended
}

// Close ends the job in this process: nobody finds the engine any more, and its parts are
// closed, once. What they have counted can still be read by who holds the engine.
func (e *Engine) Close() error {
	e.Stop()
	e.Abort()
	mu.Lock()
	if opened[e.name] == e {
		delete(opened, e.name)
	}
	mu.Unlock()
	e.mu.Lock()
	e.ended = true
	closers := e.closer
	e.closer = nil
	e.mu.Unlock()
	var errs []error
	for _, c := range slices.Backward(closers) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
