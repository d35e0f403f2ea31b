package transforms

import "github.com/microseg/microseg/event/codec"

// A person shard has the time of its own device shard. On a young site that one may
// have no event for days, while its users come by devices of the others: so device
// shards tell all person shards the time, and one whose own has none goes by theirs.

// clockOf is what a device shard said last of its time.
type clockOf struct {
	time int64 // event time that has passed, ms; 0 while it is unknown
	idle bool
}

func (c clockOf) appendTo(w *codec.Writer) {
	w.Int(c.time)
	w.Bool(c.idle)
}

func readClockOf(r *codec.Reader) clockOf { return clockOf{r.Int(), r.Bool()} }

// clocks are what a person shard has heard of the time of all device shards.
type clocks struct {
	of  []clockOf // by device shard
	own int       // its own device shard, -1 while it has said nothing
}

func newClocks(shards int) clocks { return clocks{of: make([]clockOf, shards), own: -1} }

// hear takes what a batch of a device shard says.
func (c *clocks) hear(shard int, own bool, watermark int64, idle bool) {
	c.of[shard] = clockOf{max(c.of[shard].time, watermark), idle}
	if own {
		c.own = shard
	}
}

// borrowed is the time of the other device shards, where the own one is read to its
// end and has none: the least of those that are busy, and if all are idle that of the
// furthest. It is unknown while one may still have records that nobody has read: then
// they would come behind the time.
func (c *clocks) borrowed() (all clockOf, ok bool) {
	if c.own < 0 || c.of[c.own] != (clockOf{idle: true}) {
		return all, false
	}
	all.idle = true
	for _, o := range c.of {
		switch {
		case o.time == 0 && !o.idle:
			return clockOf{}, false
		case o.time == 0:
		case o.idle && all.idle:
			all.time = max(all.time, o.time)
		case !o.idle && (all.idle || o.time < all.time):
			all = o
		}
	}
	return all, all.time > 0
}

func (c *clocks) appendTo(w *codec.Writer) {
	w.Int(int64(c.own))
	for _, o := range c.of {
		o.appendTo(w)
	}
}

func (c *clocks) read(r *codec.Reader) {
	c.own = int(r.Int())
	for i := range c.of {
		c.of[i] = readClockOf(r)
	}
	if c.own >= len(c.of) {
		r.Fail()
	}
}

// spread is what all person shards were told of a device shard's time.
type spread struct {
	clockOf
	emitted int64 // wall clock of the batch that told them, µs
}

// spreadEvery is how much wall clock (µs, of batches) passes before all person
// shards are told how far time is. When nothing comes any more they are told at once.
const spreadEvery = 1_000_000

// due reports whether all person shards must hear of the time.
func (s *spread) due(now clockOf, emitted int64, everything bool) bool {
	if now.idle != s.idle {
		return true
	}
	return now.time > s.time && (everything || emitted-s.emitted >= spreadEvery)
}

func (s *spread) appendTo(w *codec.Writer) {
	s.clockOf.appendTo(w)
	w.Int(s.emitted)
}

func readSpread(r *codec.Reader) spread { return spread{readClockOf(r), r.Int()} }
