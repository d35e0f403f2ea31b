// Package runner executes Beam pipelines in this process, without gRPC and without
// encoding what need not leave a goroutine. It is registered with Beam as "local":
//
//	import _ "github.com/microseg/microseg/runner"
//	result, err := beam.Run(ctx, "local", pipeline)
//
// Each restriction of a splittable DoFn has a goroutine, which carries what it reads
// through the whole graph: each of its calls is a bundle. A stateful DoFn has one
// instance for each key (for many keys, one for each group of them) with a lock, so
// one key's elements are one after the other, and different keys' are at the same time.
// Whoever emits waits until the element is processed: nothing piles up, and a slow step
// slows down its source. Locks follow the graph, which has no cycles.
//
// What it cannot execute it refuses by name before anything runs (UnsupportedError).
// State is in memory and ends with the run; a DoFn that fails ends it, too. Why it is
// as it is: docs/adr/0027-local-runner.md.
package runner

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/mtime"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/metrics"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/exec"
)

// Name is the runner's in Beam.
const Name = "local"

func init() { beam.RegisterRunner(Name, Execute) }

// Options change how a pipeline runs.
type Options struct {
	// Drain, when it is closed, ends unbounded sources where they are: their
	// restrictions are truncated, and what was read goes through the graph.
	Drain <-chan struct{}
}

// Execute runs the pipeline until its sources have ended, and returns its metrics.
// The context's end stops it, and is its error.
func Execute(ctx context.Context, p *beam.Pipeline) (beam.PipelineResult, error) {
	return Run(ctx, p, Options{})
}

// Run is Execute with options.
func Run(ctx context.Context, p *beam.Pipeline, o Options) (beam.PipelineResult, error) {
	edges, _, err := p.Build()
	if err != nil {
		return nil, fmt.Errorf("building the pipeline: %w", err)
	}
	plan, err := newPlan(edges)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{ctx: ctx, cancel: cancel, drain: o.Drain, plan: plan, keyed: map[int]*keyed{}}
	for _, e := range edges {
		if isStateful(e) {
			r.keyed[e.ID()] = newKeyed(r, e)
		}
	}
	for _, e := range edges {
		if e.Op == graph.Impulse {
			r.spawn(func() error { return r.impulse(e) })
		}
	}
	r.running.Wait()
	for _, k := range r.keyed {
		k.down()
	}
	// Who is told to stop may end without an error; the run has not done its work then.
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return &result{metrics: r.totals.results()}, nil
}

// run is one execution.
type run struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	drain  <-chan struct{} // nil: never
	plan   *plan
	keyed  map[int]*keyed // stateful steps, by edge
	failed atomic.Bool

	running sync.WaitGroup
	bundles atomic.Int64 // numbers them
	totals  totals
}

// spawn runs f in a goroutine of the run.
func (r *run) spawn(f func() error) {
	r.running.Add(1)
	go func() {
		defer r.running.Done()
		if err := caught(f); err != nil {
			r.fail(err)
		}
	}()
}

// fail ends the run. The first error is the run's.
func (r *run) fail(err error) {
	r.failed.Store(true)
	r.cancel(err)
}

// impulse gives the edge's value to what follows it.
func (r *run) impulse(e *graph.MultiEdge) error {
	c := r.newChain()
	root, err := c.node(e.Output[0].To)
	if err != nil {
		return err
	}
	return c.live(func() error {
		return c.bundle(root, &exec.FullValue{Elm: e.Value, Timestamp: mtime.ZeroTimestamp, Windows: window.SingleGlobalWindow})
	})
}

// result is what a run that ended has to say.
type result struct{ metrics metrics.Results }

// Metrics are the counters, distributions and gauges of the pipeline's DoFns.
func (r *result) Metrics() metrics.Results { return r.metrics }

// JobID is empty: there is one process, and it is this one.
func (r *result) JobID() string { return "" }
