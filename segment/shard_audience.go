package segment

import (
	"slices"

	"github.com/microseg/microseg/signal"
)

const minuteMS = 60_000

// MinuteCounts are a shard's absolute counts at one event-time minute.
type MinuteCounts struct {
	Minute  int64   // minutes since the epoch: the instant Minute·60,000 ms
	Members []int32 // active persons in each node's subtree; Members[0] is all
	// Weights at the minute, only where a refresh tick fell into it: the
	// members' decayed sums per subtree, nil otherwise.
	Live, Long []float64
	// Members that were evaluated again at the minute because a segment was
	// flagged, per subtree, and how many of them moved; nil where none was.
	Evaluated, Moved []int32 `json:",omitempty"`
}

// audience counts active persons per subtree, minute by minute. Moves are kept
// as differences of the minute at whose end they show, so the counts do not
// depend on the order in which persons are evaluated.
type audience struct {
	counts  []int32
	deltas  map[int64][]int32
	done    int64 // last minute that was counted
	live    []float64
	long    []float64
	weighed int64 // minute of live and long, 0 for none
	stale   []staleness
	// of the minute weighed, until it is told
	evaluated, moved []int32
}

// staleness is whether a segment is flagged, and whether its members are still to
// be evaluated once more.
type staleness uint8

const (
	fresh  staleness = iota
	seen             // flagged, and its members were evaluated
	raised           // flagged at the last tick: they will be once more
)

func (a *audience) init(nodes int) {
	a.counts, a.stale = make([]int32, nodes), make([]staleness, nodes)
	a.deltas = map[int64][]int32{}
}

// move takes a person from one node to another at time t; -1 is nowhere.
func (a *audience) move(tree *Tree, from, to int, t int64) {
	m := max((t+minuteMS-1)/minuteMS, a.done+1)
	d := a.deltas[m]
	if d == nil {
		d = make([]int32, len(a.counts))
		a.deltas[m] = d
	}
	if from >= 0 {
		for _, n := range tree.Ancestors(from) {
			d[n]--
		}
	}
	if to >= 0 {
		for _, n := range tree.Ancestors(to) {
			d[n]++
		}
	}
}

// weigh keeps the sums for the minute of w and returns the nodes whose members are
// to be evaluated: those that turned stale, and, twice being asked for, those that
// did so at the last tick.
func (a *audience) weigh(w int64, live, long []float64, h signal.HalfLives, limit float64, twice bool) map[int]bool {
	a.live, a.long, a.weighed = live, long, w/minuteMS
	var due map[int]bool
	for n := range live {
		weight, ok := signal.Weight(signal.Decayed{Sum: live[n], Ref: w}, signal.Decayed{Sum: long[n], Ref: w}, w, h)
		next := fresh
		if ok && 1-weight > limit {
			if next = seen; a.stale[n] != seen {
				if due == nil {
					due = map[int]bool{}
				}
				due[n] = true
				if twice && a.stale[n] == fresh {
					next = raised
				}
			}
		}
		a.stale[n] = next
	}
	return due
}

// until appends the counts of the minutes up to w that changed or were weighed.
func (a *audience) until(w int64, out []MinuteCounts) []MinuteCounts {
	last := w / minuteMS
	if last <= a.done {
		return out
	}
	var minutes []int64
	for m := range a.deltas {
		if m <= last {
			minutes = append(minutes, m)
		}
	}
	if a.weighed > a.done && a.deltas[a.weighed] == nil {
		minutes = append(minutes, a.weighed)
	}
	slices.Sort(minutes)
	for _, m := range minutes {
		for n, d := range a.deltas[m] {
			a.counts[n] += d
		}
		delete(a.deltas, m)
		c := MinuteCounts{Minute: m, Members: slices.Clone(a.counts)}
		if m == a.weighed {
			c.Live, c.Long, c.Evaluated, c.Moved = a.live, a.long, a.evaluated, a.moved
			a.evaluated, a.moved = nil, nil
		}
		out = append(out, c)
	}
	a.done = last
	return out
}
