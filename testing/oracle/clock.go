package oracle

import (
	"cmp"
	"slices"

	"github.com/microseg/microseg/event"
)

// clock is the data clock of a partition: the newest event that a collector has
// received, none later than its receipt, or the newest time that two devices have
// reached, whichever is later.
type clock struct {
	received int64
	furthest []reached // the two devices that are, the furthest first
}

type reached struct {
	device string
	time   int64
}

// now is 0 while nobody can say.
func (c *clock) now() int64 {
	if len(c.furthest) < 2 {
		return c.received
	}
	return max(c.received, c.furthest[1].time)
}

func (c *clock) take(e *event.Event) {
	if e.Receipt > 0 {
		c.received = max(c.received, min(e.Time, e.Receipt))
		return
	}
	r := reached{e.Device, e.Time}
	if i := slices.IndexFunc(c.furthest, func(o reached) bool { return o.device == r.device }); i >= 0 {
		r.time = max(r.time, c.furthest[i].time)
		c.furthest = slices.Delete(c.furthest, i, i+1)
	}
	c.furthest = append(c.furthest, r)
	slices.SortStableFunc(c.furthest, func(a, b reached) int { return cmp.Compare(b.time, a.time) })
	c.furthest = c.furthest[:min(2, len(c.furthest))]
}

// now is the data clock of a partition.
func (o *Oracle) now(partition int32) int64 {
	if o.clocks[partition] == nil {
		o.clocks[partition] = &clock{}
	}
	return o.clocks[partition].now()
}

// nowOf is the data clock as a device has it that logs out, which may be ahead of it; while
// there is none, that of the only device.
func (o *Oracle) nowOf(e *event.Event) int64 {
	t := o.now(e.Partition)
	for _, p := range o.res.devices[e.Device] {
		for _, x := range slices.Concat(p.events, p.late) {
			t = max(t, x.Time)
		}
	}
	if c := o.clocks[e.Partition]; t == 0 && len(c.furthest) > 0 {
		return c.furthest[0].time
	}
	return t
}
