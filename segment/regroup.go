package segment

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/microseg/microseg/session"
)

// Regroup deals the persons of shards that were read from snapshots out to n
// others; of says whose a person is: a user, or the device of a profile. One that is
// given up is below 0. owes says who tells that a device's person has left. Their time is that of the one that is furthest behind.
func Regroup(from []*Shard, n int, of func(user string, profile *session.Profile) int, owes func(device string) int, p *ShardParams) (to []*Shard) {
	for range n {
		to = append(to, NewShard(p))
	}
	now := from[0].Now
	for _, s := range from {
		now = min(now, s.Now)
	}
	for _, s := range from {
		for _, q := range s.all {
			i := of(q.userID(), q.profile)
			if i < 0 {
				q.gone = true
				continue
			}
			t := to[i]
			t.insert(q)
			if q.queued != 0 {
				t.wakes = append(t.wakes, wake{q.queued, q})
			}
			if q.counted {
				for _, a := range p.Tree.Ancestors(int(q.node)) {
					t.audience.counts[a]++
				}
			}
		}
		for s.owed.n > 0 {
			x := s.owed.next()
			to[owes(x.device)].owed.put(x)
		}
		for _, y := range s.dirty {
			if y.person.dirty && !y.person.gone {
				t := to[of(y.person.userID(), y.person.profile)]
				t.dirty = append(t.dirty, y)
			}
		}
		for _, t := range to {
			t.newest = max(t.newest, s.newest)
			for node, stale := range s.audience.stale {
				t.audience.stale[node] = max(t.audience.stale[node], stale)
			}
		}
		to[0].Dropped += s.Dropped
	}
	for _, t := range to {
		t.Now, t.audience.done = now, now/minuteMS
		heap.Init(&t.wakes)
		slices.SortStableFunc(t.dirty, func(a, b dirty) int { return cmp.Compare(a.at, b.at) })
	}
	return to
}

// userID is empty for a local person.
func (q *person) userID() string {
	if q.user == nil {
		return ""
	}
	return q.id
}

// Counted are the persons of each node's subtree once all moves that are known
// count.
func (s *Shard) Counted() []int32 {
	out := slices.Clone(s.audience.counts)
	for _, d := range s.audience.deltas {
		for n, v := range d {
			out[n] += v
		}
	}
	return out
}

// ToCount are the counts of the minutes to come that moves are already known of.
func (s *Shard) ToCount() (out []MinuteCounts) {
	a := &s.audience
	minutes := make([]int64, 0, len(a.deltas))
	for m := range a.deltas {
		minutes = append(minutes, m)
	}
	slices.Sort(minutes)
	counts := slices.Clone(a.counts)
	for _, m := range minutes {
		for n, v := range a.deltas[m] {
			counts[n] += v
		}
		out = append(out, MinuteCounts{Minute: m, Members: slices.Clone(counts)})
	}
	return out
}
