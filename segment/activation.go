package segment

import "math"

// Activation says which nodes have enough of an audience to be served. It is
// decided minute by minute, in order, and never changes a path.
type Activation struct {
	Active     []bool
	Up, Down   []float64 // shares that activate and deactivate, by node
	Exempt     []bool    // always active
	MinSample  int       // below so many persons states stay as they are
	Hysteresis float64
}

// Flip is a change of a node's state.
type Flip struct {
	Node   int
	Active bool
}

// NewActivation returns the state before the first minute: only the root and
// exempt nodes are active.
func NewActivation(t *Tree, activate, hysteresis float64, minSample int) *Activation {
	n := t.Len()
	a := &Activation{Active: make([]bool, n), Up: make([]float64, n), Down: make([]float64, n), Exempt: make([]bool, n), MinSample: minSample, Hysteresis: hysteresis}
	for i := range n {
		a.Up[i] = activate
		if m := t.Node(i).MinAudience; m != nil {
			a.Up[i] = *m
		}
		a.Down[i] = max(0, math.Round((a.Up[i]-hysteresis)*1e12)/1e12) // 0.2 − 0.02 is 0.18, not a float above it
		a.Exempt[i] = i == 0 || a.Up[i] == 0
		a.Active[i] = a.Exempt[i]
	}
	return a
}

// Decide takes one minute's counts of active persons per subtree and returns
// what changed: active at or above the activating share, inactive below the
// deactivating one, as it was in between and below the minimum sample.
func (a *Activation) Decide(counts []int, total int) []Flip {
	if total < max(1, a.MinSample) {
		return nil
	}
	var flips []Flip
	for n, c := range counts {
		share := float64(c) / float64(total)
		switch {
		case a.Exempt[n]:
		case !a.Active[n] && share >= a.Up[n]:
			a.Active[n] = true
			flips = append(flips, Flip{n, true})
		case a.Active[n] && share < a.Down[n]:
			a.Active[n] = false
			flips = append(flips, Flip{n, false})
		}
	}
	return flips
}

// Served is the deepest active node on the path to node.
func (a *Activation) Served(t *Tree, node int) int {
	path := t.Ancestors(node)
	for i := len(path) - 1; i > 0; i-- {
		if a.Active[path[i]] {
			return path[i]
		}
	}
	return 0
}
