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
	stale   []bool
}

func (a *audience) init(nodes int) {
	a.counts, a.stale = make([]int32, nodes), make([]bool, nodes)
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

// weigh keeps the sums for the minute of w and returns the nodes that turned stale.
func (a *audience) weigh(w int64, live, long []float64, h signal.HalfLives, limit float64) map[int]bool {
	a.live, a.long, a.weighed = live, long, w/minuteMS
	var turned map[int]bool
	for n := range live {
		weight, ok := signal.Weight(signal.Decayed{Sum: live[n], Ref: w}, signal.Decayed{Sum: long[n], Ref: w}, w, h)
		stale := ok && 1-weight > limit
		if stale && !a.stale[n] {
			if turned == nil {
				turned = map[int]bool{}
			}
			turned[n] = true
		}
		a.stale[n] = stale
	}
	return turned
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
			c.Live, c.Long = a.live, a.long
		}
		out = append(out, c)
	}
	a.done = last
	return out
}
