package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/metrics"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/exec"
)

// chain is a part of the graph that one goroutine at a time executes: Beam's own units
// from a root up to stateful steps and splittable DoFns, which have chains of their own.
// Its DoFns are its own instances.
type chain struct {
	run     *run
	ctx     context.Context // of what happens once; a bundle has one of its own, for its metrics
	units   []exec.Unit
	ids     exec.GenID
	data    exec.DataContext // state, in the chain of a stateful step
	emitted int              // elements that its DoFns have given on
}

func (r *run) newChain() *chain {
	return &chain{run: r, ctx: metrics.SetBundleID(r.ctx, Name)}
}

// add takes a unit into the chain.
func (c *chain) add(u exec.Unit) { c.units = append(c.units, u) }

// node is what consumes a PCollection.
func (c *chain) node(n *graph.Node) (exec.Node, error) {
	var out []exec.Node
	for _, e := range c.run.plan.consumers[n.ID()] {
		to, err := c.step(e)
		if err != nil {
			return nil, err
		}
		out = append(out, to)
	}
	switch len(out) {
	case 0:
		u := &exec.Discard{UID: c.ids.New()}
		c.add(u)
		return u, nil
	case 1:
		return out[0], nil
	}
	u := &exec.Multiplex{UID: c.ids.New(), Out: out}
	c.add(u)
	return u, nil
}

// step is what executes an edge, with all that follows it in the chain.
func (c *chain) step(e *graph.MultiEdge) (exec.Node, error) {
	switch {
	case e.Op == graph.WindowInto:
		out, err := c.node(e.Output[0].To)
		if err != nil {
			return nil, err
		}
		u := &exec.WindowInto{UID: c.ids.New(), Fn: e.WindowFn, Out: out}
		c.add(u)
		return u, nil
	case e.Op != graph.ParDo: // Flatten and Reshuffle change nothing here
		return c.node(e.Output[0].To)
	case isStateful(e):
		return &boundary{chain: c, next: c.run.keyed[e.ID()]}, nil
	case e.DoFn.IsSplittable():
		return c.source(e)
	}
	p, err := c.parDo(e)
	if err != nil {
		return nil, err
	}
	c.add(p)
	return &boundary{chain: c, node: p}, nil
}

// parDo is Beam's executor of the edge's DoFn; the caller adds it to the chain.
func (c *chain) parDo(e *graph.MultiEdge) (*exec.ParDo, error) {
	fn, err := c.run.plan.doFn(e)
	if err != nil {
		return nil, err
	}
	p := &exec.ParDo{UID: c.ids.New(), Fn: fn, Inbound: e.Input, PID: shortName(e)}
	for _, o := range e.Output {
		to, err := c.node(o.To)
		if err != nil {
			return nil, err
		}
		p.Out = append(p.Out, to)
	}
	return p, nil
}

// up sets the chain's DoFns up.
func (c *chain) up() error {
	for _, u := range c.units {
		if err := caught(func() error { return u.Up(c.ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// live sets the chain up, calls f and tears the chain down. An error of f, or of setting
// up, ends the run before anything is torn down, which may have something to say, too.
func (c *chain) live(f func() error) error {
	defer c.down()
	err := c.up()
	if err == nil {
		err = caught(f)
	}
	if err != nil {
		c.run.fail(err)
	}
	return err
}

// down tears them down; what fails then fails the run.
func (c *chain) down() {
	for _, u := range c.units {
		err := caught(func() error { return u.Down(c.ctx) })
		if err != nil && !c.run.failed.Load() { // a DoFn that has failed says so once more
			c.run.fail(fmt.Errorf("tearing a DoFn down: %w", err))
		}
	}
}

// bundle processes one element as a bundle.
func (c *chain) bundle(root exec.Node, elm *exec.FullValue) error {
	return c.process(root, func(ctx context.Context) error { return root.ProcessElement(ctx, elm) })
}

// process is a bundle in which f processes something.
func (c *chain) process(root exec.Node, f func(context.Context) error) error {
	id := strconv.FormatInt(c.run.bundles.Add(1), 10)
	ctx := metrics.SetBundleID(c.run.ctx, id)
	defer c.run.totals.add(ctx)
	return caught(func() error {
		if err := root.StartBundle(ctx, id, c.data); err != nil {
			return err
		}
		if err := f(ctx); err != nil {
			return err
		}
		return root.FinishBundle(ctx)
	})
}

// boundary stands between a DoFn and the next one. An error or a panic behind it must not
// go through the code of the one before, which would take it for its own: it ends the run
// from here, and the one before goes on to no effect.
type boundary struct {
	chain *chain
	node  exec.Node // in the chain, or
	next  *keyed    // a stateful step
}

func (b *boundary) ID() exec.UnitID {
	if b.node != nil {
		return b.node.ID()
	}
	return 0
}

// Up and Down of what is in the chain are the chain's.
func (b *boundary) Up(context.Context) error   { return nil }
func (b *boundary) Down(context.Context) error { return nil }

// StartBundle and FinishBundle pass within the chain. In a stateful step each element is a
// bundle of its own: kept open until this one ends, two chains could wait for each other.
func (b *boundary) StartBundle(ctx context.Context, id string, data exec.DataContext) error {
	if b.node == nil {
		return nil
	}
	return b.node.StartBundle(ctx, id, exec.DataContext{}) // state is the first DoFn's of its chain
}

func (b *boundary) FinishBundle(ctx context.Context) error {
	if b.node == nil || b.chain.run.failed.Load() {
		return nil
	}
	return b.node.FinishBundle(ctx)
}

func (b *boundary) ProcessElement(ctx context.Context, elm *exec.FullValue, values ...exec.ReStream) error {
	b.chain.emitted++
	if b.chain.run.failed.Load() {
		return nil
	}
	err := caught(func() error {
		if b.next != nil {
			return b.next.process(elm)
		}
		return b.node.ProcessElement(ctx, elm, values...)
	})
	if err != nil {
		b.chain.run.fail(err)
	}
	return nil
}

// caught is f's error, or its panic as one.
func caught(f func() error) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case error:
			var bug runtime.Error
			if err = v; errors.As(v, &bug) { // else Beam throws what a step returned
				err = fmt.Errorf("a DoFn panicked: %w\n%s", v, debug.Stack())
			}
		default:
			err = fmt.Errorf("a DoFn panicked: %v\n%s", v, debug.Stack())
		}
	}()
	return f()
}
