package transforms

import (
	"slices"

	"github.com/microseg/microseg/event/codec"
)

// Users come by devices of all shards, so device shards tell all person shards the
// time, and a person shard has the least of theirs (sure). By semantics before 4 it has
// that of its own device shard and, where that one never had an event, of the others.

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
	of    []clockOf // by device shard
	own   int       // its own device shard, -1 while it has said nothing
	moved []int64   // when each said something new last, as of seen; 0: never
	seen  int64     // wall clock of the batches that has passed, µs: of a gap between two, at most gapAtMost
	last  int64     // of the newest batch
}

// gapAtMost (µs) is how much of the wall clock between two batches counts. In the time
// that there was no job nobody was waited for.
const gapAtMost = 1_000_000

func newClocks(shards int) clocks {
	return clocks{of: make([]clockOf, shards), own: -1, moved: make([]int64, shards), seen: 1}
}

// hear takes what a batch of a device shard says.
func (c *clocks) hear(shard int, own bool, watermark int64, idle bool, emitted int64) {
	if c.last > 0 {
		c.seen += min(max(0, emitted-c.last), gapAtMost)
	}
	c.last = max(c.last, emitted)
	for i := range c.moved {
		if c.moved[i] == 0 {
			c.moved[i] = c.seen
		}
	}
	was := c.of[shard]
	if c.of[shard] = (clockOf{max(was.time, watermark), idle}); c.of[shard] != was {
		c.moved[shard] = c.seen
	}
	if own {
		c.own = shard
	}
}

// stillAfter (µs of the batches' clock) is how long a device shard that is not read to
// its end holds the others while its time does not move: a partition that cannot be
// read must not end the time of all users.
const stillAfter = 30_000_000

// least is the time that all device shards have passed: the least of those that are
// busy, and if all are idle that of the furthest; ok is false while it is unknown.
func (c *clocks) least() (t int64, ok bool) {
	busy := false
	for i, o := range c.of {
		switch {
		case !o.idle && c.seen-c.moved[i] >= stillAfter:
		case o.time == 0 && !o.idle:
			return 0, false
		case o.idle && !busy:
			t = max(t, o.time)
		case !o.idle && (!busy || o.time < t):
			t, busy = o.time, true
		}
	}
	return t, t > 0
}

// idle reports whether all device shards are read to their end and quiet.
func (c *clocks) idle() bool {
	return !slices.ContainsFunc(c.of, func(o clockOf) bool { return !o.idle })
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
	for i, o := range c.of {
		o.appendTo(w)
		w.Int(c.moved[i])
	}
	w.Int(c.seen)
	w.Int(c.last)
}

// read reads what a person shard's snapshot of version v has.
func (c *clocks) read(r *codec.Reader, v byte) {
	c.own = int(r.Int())
	for i := range c.of {
		if c.of[i] = readClockOf(r); v >= waitPersonVersion {
			c.moved[i] = r.Int()
		}
	}
	if v >= waitPersonVersion {
		c.seen, c.last = r.Int(), r.Int()
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

// spreadEvery is how much wall clock (µs, of batches) passes before all person shards
// are told how far time is; of semantics before 4 it was spreadSlowly. When nothing
// comes any more they are told at once.
const (
	spreadEvery  = 250_000
	spreadSlowly = 1_000_000
)

// due reports whether all person shards must hear of the time, after so long (µs).
func (s *spread) due(now clockOf, emitted int64, everything bool, after int64) bool {
	if now.idle != s.idle {
		return true
	}
	return now.time > s.time && (everything || emitted-s.emitted >= after)
}

func (s *spread) appendTo(w *codec.Writer) {
	s.clockOf.appendTo(w)
	w.Int(s.emitted)
}

func readSpread(r *codec.Reader) spread { return spread{readClockOf(r), r.Int()} }
