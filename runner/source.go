package runner

import (
	"context"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/exec"
)

// source pairs an element with a splittable DoFn's first restriction, splits that, and
// starts a goroutine for each when the bundle has ended well.
func (c *chain) source(e *graph.MultiEdge) (exec.Node, error) {
	fn, err := c.run.plan.doFn(e)
	if err != nil {
		return nil, err
	}
	start := &starter{UID: c.ids.New(), each: func(elm *exec.FullValue) {
		c.run.spawn(func() error { return c.run.restriction(e, elm) })
	}}
	split := &exec.SplitAndSizeRestrictions{UID: c.ids.New(), Fn: fn, Out: start}
	pair := &exec.PairWithRestriction{UID: c.ids.New(), Fn: fn, Out: split}
	c.add(split)
	c.add(pair)
	return &boundary{chain: c, node: pair}, nil
}

// Waits of a source that gives nothing and asks to be called again: how long it wants to
// wait is Beam's secret, so it is called after times that double.
const (
	firstWait = time.Millisecond
	maxWait   = 100 * time.Millisecond
)

// restriction calls a splittable DoFn until its restriction is done; each call is a bundle.
func (r *run) restriction(e *graph.MultiEdge, elm *exec.FullValue) error {
	c := r.newChain()
	p, err := c.parDo(e)
	if err != nil {
		return err
	}
	u := &exec.ProcessSizedElementsAndRestrictions{PDo: p, TfId: shortName(e)}
	c.add(u)
	return c.live(func() error { return c.resume(e, u, elm) })
}

// resume calls the DoFn until its restriction is done, or the run is over.
func (c *chain) resume(e *graph.MultiEdge, u *exec.ProcessSizedElementsAndRestrictions, elm *exec.FullValue) (err error) {
	r := c.run
	drain, wait := r.drain, firstWait
	for elm != nil && r.ctx.Err() == nil {
		select {
		case <-drain: // nil once it was heard
			drain = nil
			if elm, err = c.truncate(e, elm); err != nil || elm == nil {
				return err
			}
		default:
		}
		c.emitted = 0
		if elm, err = c.call(u, elm); err != nil {
			return err
		}
		if c.emitted > 0 {
			wait = firstWait
		} else if elm != nil {
			select {
			case <-r.ctx.Done():
			case <-drain:
				// a closed channel stays ready: it is heard above
			case <-time.After(wait):
			}
			wait = min(2*wait, maxWait)
		}
	}
	return nil
}

// call is one call of the DoFn, and the rest of the restriction, nil if it is done.
func (c *chain) call(u *exec.ProcessSizedElementsAndRestrictions, elm *exec.FullValue) (rest *exec.FullValue, err error) {
	err = c.process(u, func(ctx context.Context) error {
		if err := u.ProcessElement(ctx, elm); err != nil {
			return err
		}
		left, err := u.Checkpoint(ctx)
		if len(left) > 0 { // an element has one window here, so there is one rest
			rest = left[0]
		}
		return err
	})
	return rest, err
}

// truncate is what is left of a restriction when the pipeline is drained.
func (c *chain) truncate(e *graph.MultiEdge, elm *exec.FullValue) (rest *exec.FullValue, err error) {
	fn, err := c.run.plan.doFn(e)
	if err != nil {
		return nil, err
	}
	out := &starter{UID: c.ids.New(), each: func(e *exec.FullValue) { rest = e }}
	u := &exec.TruncateSizedRestriction{UID: c.ids.New(), Fn: fn, Out: out}
	if err := u.Up(c.ctx); err != nil {
		return nil, err
	}
	err = c.bundle(u, elm)
	return rest, err
}

// starter keeps the elements of a bundle and gives them on when it has ended.
type starter struct {
	UID  exec.UnitID
	each func(*exec.FullValue)
	held []*exec.FullValue
}

func (s *starter) ID() exec.UnitID            { return s.UID }
func (s *starter) Up(context.Context) error   { return nil }
func (s *starter) Down(context.Context) error { return nil }
func (s *starter) StartBundle(context.Context, string, exec.DataContext) error {
	s.held = nil
	return nil
}

func (s *starter) ProcessElement(_ context.Context, elm *exec.FullValue, _ ...exec.ReStream) error {
	s.held = append(s.held, copied(elm))
	return nil
}

func (s *starter) FinishBundle(context.Context) error {
	for _, e := range s.held {
		s.each(e)
	}
	s.held = nil
	return nil
}

// copied is an element that outlives the call: whoever made it may use it again.
func copied(v *exec.FullValue) *exec.FullValue {
	c := *v
	if in, ok := c.Elm.(*exec.FullValue); ok {
		c.Elm = copied(in)
	}
	if in, ok := c.Elm2.(*exec.FullValue); ok {
		c.Elm2 = copied(in)
	}
	return &c
}
