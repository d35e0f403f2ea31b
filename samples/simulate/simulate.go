// Package simulate makes up visitors of a shop, for the signals that no public
// data set holds: scrolling, hovering, networks, whole purchases. Everything
// it emits says context.simulated: true and has an anonymousId of "sim-…".
package simulate

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/microseg/microseg/samples/spec"
)

// Options say how many visitors come and when. Equal options give equal events.
type Options struct {
	Seed     uint64
	Start    time.Time
	Duration time.Duration // nothing happens at or after Start+Duration
	Arrive   time.Duration // everybody has come by Start+Arrive; 0: by the end of the first two thirds
	Visitors int
}

// Run emits the events of all visitors as JSON lines, in the order of their
// times. A line is the caller's to keep.
func Run(o Options, emit func(line []byte) error) error {
	if o.Visitors < 0 || o.Duration <= 0 {
		return fmt.Errorf("simulating %d visitors for %v: neither may be negative, nor the time zero", o.Visitors, o.Duration)
	}
	end := o.Start.Add(o.Duration)
	var q queue
	for i := range o.Visitors {
		v := newVisitor(o, i)
		if v.advance(end) {
			q = append(q, v)
		}
	}
	heap.Init(&q)
	for len(q) > 0 {
		v := q[0]
		line, err := v.pending[0].event.Line()
		if err != nil {
			return err
		}
		if err := emit(line); err != nil {
			return err
		}
		v.pending = v.pending[1:]
		if v.advance(end) {
			heap.Fix(&q, 0)
		} else {
			heap.Pop(&q)
		}
	}
	return nil
}

// timed is an event to come.
type timed struct {
	at    time.Time
	event spec.Event
}

// visitor is one person on one device.
type visitor struct {
	rng      *rand.Rand
	index    int
	id       string
	seed     uint64
	persona  *persona
	device   device
	now      time.Time // of the last event
	n        int       // events so far
	page     string    // path and type of the page in view
	pageType string
	pending  []timed // in the order of time
	cart     []product
}

func newVisitor(o Options, i int) *visitor {
	v := &visitor{rng: rand.New(rand.NewPCG(o.Seed, uint64(i))), index: i, seed: o.Seed}
	v.id = fmt.Sprintf("sim-%x-%d", o.Seed, i)
	v.persona = pick(v.rng)
	v.device = v.persona.device(v.rng)
	// The end of a simulation shows whole visits.
	arrive := float64(o.Arrive)
	if arrive == 0 {
		arrive = float64(o.Duration) * 2 / 3
	}
	v.now = o.Start.Add(time.Duration(v.rng.Float64() * arrive))
	return v
}

// advance makes sure that an event is pending; it is false when the visitor
// has no more events before end. A visitor that is done may come back.
func (v *visitor) advance(end time.Time) bool {
	if len(v.pending) == 0 {
		if v.n > 0 {
			v.now = v.now.Add(v.between(v.persona.pause[0], v.persona.pause[1]))
		}
		if !v.now.Before(end) {
			return false
		}
		v.cart = v.cart[:0]
		v.persona.visit(v)
	}
	return v.pending[0].at.Before(end)
}

// wait lets seconds pass, somewhere between low and high.
func (v *visitor) wait(low, high float64) { v.now = v.now.Add(v.between(low, high)) }

func (v *visitor) between(low, high float64) time.Duration {
	return time.Duration((low+v.rng.Float64()*(high-low))*1000) * time.Millisecond
}

func (v *visitor) chance(p float64) bool { return v.rng.Float64() < p }

// queue orders visitors by their next event; ties by their numbers, so that
// the order is the same every time.
type queue []*visitor

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if !a.pending[0].at.Equal(b.pending[0].at) {
		return a.pending[0].at.Before(b.pending[0].at)
	}
	return a.index < b.index
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push and Pop are heap.Interface's.
func (q *queue) Push(x any) { *q = append(*q, x.(*visitor)) }

// Pop takes the last one out.
func (q *queue) Pop() any {
	old := *q
	v := old[len(old)-1]
	*q = old[:len(old)-1]
	return v
}
