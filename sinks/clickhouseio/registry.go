package clickhouseio

import (
	"context"
	"errors"
	"sync"
)

// shared are the process's writers, by configuration: all instances of the sink
// with one configuration add to one writer, so that ClickHouse sees one insert
// a table and linger however many workers the runner has in the process.
var shared = struct {
	sync.Mutex
	writers map[Config]*lease
}{writers: map[Config]*lease{}}

type lease struct {
	w    *Writer
	refs int
}

// Acquire returns the process's writer for cfg, opening it when there is none.
// Each Acquire needs a Release; the last one closes the writer.
func Acquire(ctx context.Context, cfg Config) (*Writer, error) {
	shared.Lock()
	defer shared.Unlock()
	l := shared.writers[cfg]
	// One that has failed stays failed; who comes anew begins anew.
	if l == nil || l.w.Err() != nil {
		w, err := Open(ctx, cfg)
		if err != nil {
			return nil, err
		}
		l = &lease{w: w}
		shared.writers[cfg] = l
	}
	l.refs++
	w := l.w
	return w, nil
}

// StatsOf are the stats and the error of the process's writer for cfg; ok is
// false when there is none.
func StatsOf(cfg Config) (s Stats, ok bool, err error) {
	shared.Lock()
	l := shared.writers[cfg]
	shared.Unlock()
	if l == nil {
		return Stats{}, false, nil
	}
	return l.w.Stats(), true, l.w.Err()
}

// Release gives back a writer from Acquire(cfg). The error is the writer's.
func Release(cfg Config, w *Writer) error {
	shared.Lock()
	l := shared.writers[cfg]
	if l == nil || l.w != w {
		shared.Unlock()
		return w.Close() // a failed one that was replaced
	}
	l.refs--
	last := l.refs == 0
	if last {
		delete(shared.writers, cfg)
	}
	shared.Unlock()
	if !last {
		return nil
	}
	return w.Close()
}

// Finish closes the process's writer for cfg, whoever holds it, after inserting
// what is pending: for the end of a pipeline on a runner that tears no worker
// down (Prism in process), whose writers would live on. It does nothing when
// there is none. The error is the writer's.
func Finish(cfg Config) error {
	shared.Lock()
	l := shared.writers[cfg]
	delete(shared.writers, cfg)
	shared.Unlock()
	if l == nil {
		return nil
	}
	return l.w.Close()
}

// Confirm waits until no crash can lose what was added to the process's writer for
// cfg; there may be none.
func Confirm(ctx context.Context, cfg Config) error {
	shared.Lock()
	l := shared.writers[cfg]
	shared.Unlock()
	if l == nil {
		return nil
	}
	return l.w.Confirm(ctx)
}

// Drain flushes every shared writer of the process, including the record
// latencies of that flush: what a program does when its pipeline has ended and
// it wants to read the record. It returns all errors.
func Drain(ctx context.Context) error {
	shared.Lock()
	var ws []*Writer
	for _, l := range shared.writers {
		ws = append(ws, l.w)
	}
	shared.Unlock()
	var errs []error
	for _, w := range ws {
		errs = append(errs, w.Flush(ctx), w.flushRecord(ctx))
	}
	return errors.Join(errs...)
}
