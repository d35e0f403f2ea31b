package segment

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Activation says which nodes have enough of an audience to be served. It is
// decided minute by minute, in order, and never changes a path.
type Activation struct {
	Active     []bool
	Up, Down   []float64 // shares that activate and deactivate, by node
	Exempt     []bool    // always active, also before the first minute
	MinSample  int       // below so many persons states stay as they are
	Hysteresis float64
	Held       string `json:",omitempty"` // why nothing changes for some minutes; empty: it may (Jumps)
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
		node := t.Node(i)
		a.Up[i] = activate
		if m := node.MinAudience; m != nil {
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
	if total < a.sample() {
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

// sample is the least number of active persons by which anything is decided.
func (a *Activation) sample() int { return max(1, a.MinSample) }

// What is said of a node where there are no counts to say it by.
const (
	WhyUndecided = "no audience decided yet"
	WhyUncounted = "decided by a job that is older than this node and does not tell the counts"
	WhyBot       = "bot: in no audience"
)

// Why says in words why a node is active or not, after a minute with so many
// active persons in its subtree, and so many on the whole. Everything that
// shows a verdict shows these words: rows, reports, explanations.
func (a *Activation) Why(t *Tree, node, members, total int) string {
	if a.Exempt[node] {
		return a.whyExempt(t, node)
	}
	if a.Held != "" {
		return a.Held
	}
	stays := ""
	if a.Active[node] {
		stays = "stays active: "
	}
	if total < a.sample() {
		need := "1 is"
		if n := a.sample(); n > 1 {
			need = fmt.Sprintf("%d are", n)
		}
		return fmt.Sprintf("%s%d of %d active visitors; %s needed before anything changes", stays, members, total, need)
	}
	share := float64(members) / float64(total)
	of, up, down := fmt.Sprintf("%.1f %% of %d active visitors", 100*share, total), percent(a.Up[node]), percent(a.Down[node])
	switch {
	case a.Active[node] && share >= a.Up[node]:
		return fmt.Sprintf("%s; %s are needed", of, up)
	case a.Active[node]:
		return fmt.Sprintf("%s%s; pruned below %s", stays, of, down)
	case share >= a.Down[node]:
		return fmt.Sprintf("%s; %s are needed, %s only to stay active", of, up, down)
	}
	return fmt.Sprintf("%s; %s are needed", of, up)
}

func (a *Activation) whyExempt(t *Tree, node int) string {
	n := t.Node(node)
	switch {
	case node == 0:
		return "exempt: everyone is always served"
	case n.Exempt != "":
		return "exempt: " + n.Exempt
	case n.MinAudience != nil:
		return "exempt: its min_audience is 0"
	}
	return "exempt: audience.activate is 0"
}

// percent writes a share with as many digits as it needs, three at the most.
func percent(share float64) string {
	return strconv.FormatFloat(math.Round(share*1e5)/1e3, 'f', -1, 64) + " %"
}

// Told is the state as a reader of the activation record knows it: which nodes
// of its own tree are active, and whether that is held. Exempt ones are whatever the record says, so that
// they are before there is one.
func (a *Activation) Told(t *Tree, paths []string, held string) *Activation {
	out := *a
	out.Held = held
	out.Active = slices.Clone(a.Exempt)
	for _, p := range paths {
		if n, ok := t.Find(p); ok {
			out.Active[n] = true
		}
	}
	return &out
}
