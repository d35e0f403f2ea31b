package transforms

import (
	"maps"
	"slices"

	"github.com/microseg/microseg/event"
)

// modelClock is the data clock of a partition, which remembers every device: what a
// collector received goes as far as its receipt, all else as far as two devices are.
type modelClock struct {
	certain int64
	newest  map[string]int64
}

func (c *modelClock) take(e *event.Event, older bool) {
	if older {
		c.certain = max(c.certain, e.Time)
	} else if e.Receipt > 0 {
		c.certain = max(c.certain, min(e.Time, e.Receipt))
	} else {
		c.newest[e.Device] = max(c.newest[e.Device], e.Time)
	}
}

// clock is 0 while the partition has none.
func (m *model) clock(partition int32) int64 {
	c := m.clocks[partition]
	if c == nil {
		c = &modelClock{newest: map[string]int64{}}
		m.clocks[partition] = c
	}
	times := slices.Sorted(maps.Values(c.newest))
	if len(times) < 2 {
		return c.certain
	}
	return max(c.certain, times[len(times)-2])
}

// alone is the newest event of a partition that has had one device.
func (m *model) alone(partition int32) (t int64) {
	for _, at := range m.clocks[partition].newest {
		t = max(t, at)
	}
	return t
}

// ownClock is that of a partition as one of its devices has it.
func (m *model) ownClock(partition int32, device string) int64 {
	t := m.clock(partition)
	for _, e := range m.devices[device] {
		t = max(t, m.last([]*epoch{e}))
	}
	return t
}

// end is the event time that has passed in a shard when all is read and its partitions
// are idle for so long: the newest of their clocks, or what two of their devices have
// reached; what the only one has where there is no more.
func (m *model) end(shard int) (t int64) {
	var furthest []int64
	for p, c := range m.clocks {
		if int(p)%m.b.Spec.Shards != shard {
			continue
		}
		now, ahead := m.clock(p), int64(0)
		for _, at := range c.newest {
			ahead = max(ahead, at)
		}
		switch {
		case now > 0:
			t = max(t, now+quietFor)
		case ahead > 0:
			ahead += quietFor
		}
		furthest = append(furthest, ahead)
	}
	slices.Sort(furthest)
	switch n := len(furthest); {
	case n > 1 && furthest[n-2] > 0:
		return max(t, furthest[n-2])
	case n > 0 && t == 0:
		return furthest[n-1]
	}
	return t
}
