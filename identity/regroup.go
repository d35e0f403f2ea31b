package identity

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// Nowhere is in no shard.
const Nowhere = -1

// Regroup deals the partitions of shards that were read from snapshots out to n
// others, which take what the old ones hold; of says whose a partition is. It
// returns in which shard each device's present profile is, Nowhere for one that is
// given up: older programs could have a device in two shards (see stray.go), and
// together in one there is room for one of it.
//
// Shards are not all as far in event time. What one makes of several others has
// the time of the one that is furthest behind: what the others have told already
// they do not tell again, since each device knows how far it is.
func Regroup(from []*Shard, n int, of func(partition int32) int, p *Params) (to []*Shard, where map[*session.Profile]int) {
	g := regrouping{places: map[*device]place{}, where: map[*session.Profile]int{}, p: p}
	for range n {
		g.to = append(g.to, NewShard(p))
	}
	met := make([]bool, n)
	for _, s := range from {
		for id, q := range s.parts {
			i := of(id)
			g.to[i].parts[id] = q
			for _, d := range q.agenda {
				g.places[d] = place{i, id}
			}
			if !met[i] || s.settled < g.to[i].settled {
				g.to[i].settled, met[i] = s.settled, true
			}
		}
		g.take(s)
	}
	for _, t := range g.to {
		slices.SortStableFunc(t.dirty, func(a, b dirty) int { return cmp.Compare(a.at, b.at) })
	}
	return g.to, g.where
}

// place is a shard and a partition of it.
type place struct {
	shard int
	part  int32
}

type regrouping struct {
	to     []*Shard
	places map[*device]place
	where  map[*session.Profile]int
	p      *Params
}

// take gives a shard's devices to the shards that their partitions went to.
func (g *regrouping) take(s *Shard) {
	for id, d := range s.devices {
		at := g.places[d]
		t := g.to[at.shard]
		if other := t.devices[id]; other != nil {
			if g.places[other].part == event.Home(id, g.p.Partitions) {
				g.giveUp(id, d)
				continue
			}
			g.giveUp(id, other)
		}
		t.devices[id], g.where[&d.Profile] = d, at.shard
		if users := s.former[id]; len(users) > 0 {
			t.former[id] = users
		}
	}
	for id, epochs := range s.past {
		for _, d := range epochs {
			if at, has := g.places[d]; has {
				t := g.to[at.shard]
				t.past[id] = append(t.past[id], d)
			}
		}
	}
	for _, y := range s.dirty {
		if at, has := g.places[y.device]; has && y.device.dirty {
			t := g.to[at.shard]
			t.dirty = append(t.dirty, y)
		}
	}
	for _, h := range s.held {
		if at, has := g.places[h.device]; has {
			t := g.to[at.shard]
			t.held = append(t.held, h)
		}
	}
}

// giveUp takes all epochs of a device out of a partition.
func (g *regrouping) giveUp(id string, d *device) {
	at := g.places[d]
	t := g.to[at.shard]
	q := t.parts[at.part]
	theirs := func(o *device) bool { return o.id == id }
	for _, o := range q.agenda {
		if theirs(o) {
			delete(g.places, o)
		}
	}
	q.agenda = slices.DeleteFunc(q.agenda, theirs)
	for i, o := range q.agenda {
		o.place = int32(i)
	}
	heap.Init(&q.agenda)
	lost := func(o *device) bool { _, has := g.places[o]; return !has }
	t.past[id] = slices.DeleteFunc(t.past[id], lost)
	t.dirty = slices.DeleteFunc(t.dirty, func(y dirty) bool { return lost(y.device) })
	t.held = slices.DeleteFunc(t.held, func(h held) bool { return lost(h.device) })
	g.where[&d.Profile] = Nowhere
}
