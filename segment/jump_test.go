package segment

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// held is the obviously right version of who is held: it has the total of every single
// minute, and what was active in each.
type held struct {
	totals        map[int64]int
	active        map[int64][]bool // before the minute was decided
	begun, jumped int64            // of the hold that is on; of the jump whose past is kept
	first         int64            // minute whose past that is
	free          int64            // last minute that had less than a sample in those before
	base          int
	state         []bool
}

func (h *held) minute(m int64, counts []int, a *Activation, factor float64, window int64) {
	h.totals[m], h.active[m] = counts[0], slices.Clone(h.state)
	if h.begun > 0 && m >= h.begun+10 {
		h.begun = 0
	}
	lowest := func(from int64) (low int) {
		for k := from; k < m; k++ {
			if t, ok := h.totals[k]; ok && (low == 0 || t < low) {
				low = t
			}
		}
		return low
	}
	low := lowest(m - 10)
	if low < a.sample() {
		h.free, low = m, 0
	} else {
		low = lowest(max(m-10, h.free))
	}
	if h.begun == 0 && low > 0 && float64(counts[0]) > factor*float64(low) {
		if h.begun = m; h.first == 0 {
			h.first, h.base = m, low
		}
		h.jumped = m
	}
	if h.begun > 0 {
		return
	}
	if h.first > 0 && float64(counts[0]) <= factor*float64(h.base) {
		h.state, h.first = slices.Clone(h.active[h.first]), 0
	} else if h.first > 0 && m >= h.jumped+20+window {
		h.first = 0
	}
	if counts[0] < a.sample() {
		return
	}
	for n := range h.state {
		share := float64(counts[n]) / float64(counts[0])
		if !a.Exempt[n] && share >= a.Up[n] {
			h.state[n] = true
		} else if !a.Exempt[n] && share < a.Down[n] {
			h.state[n] = false
		}
	}
}

// TestJumps: 2,500 visitors who came at once made every segment inactive. Floods, rises,
// falls and quiet minutes at random are decided as by a model that knows of every minute;
// minutes in which nobody comes or goes are told to one of both alone, and a process may be
// another one at any time.
func TestJumps(t *testing.T) {
	t.Parallel()
	tree := shopTree(t)
	holds, restored := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		a := NewActivation(tree, 0.12, 0.02, 20)
		j := Jumps{Factor: 4, Window: 30}
		h := &held{totals: map[int64]int{}, active: map[int64][]bool{}, state: slices.Clone(a.Active)}
		counts := []int{15 + r.IntN(20), 5, 2, 1, 6}
		m := int64(1000)
		decide := func() {
			flips, turn := j.Decide(m, counts, a)
			if turn == Held {
				holds++
			}
			for _, f := range flips {
				if a.Active[f.Node] != f.Active || a.Exempt[f.Node] {
					t.Fatalf("seed %d: flip %+v, active %v", seed, f, a.Active)
				}
			}
			if r.IntN(5) == 0 {
				text, err := json.Marshal([]any{j, a})
				j, a = Jumps{Factor: 4, Window: 30}, NewActivation(tree, 0.12, 0.02, 20)
				if err == nil {
					err = json.Unmarshal(text, &[]any{&j, a})
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		decide()
		h.minute(m, counts, a, 4, 30)
		for range 60 {
			for k := r.Int64N([]int64{1, 3, 45}[r.IntN(3)] + 1); k > 0; k-- { // nobody comes or goes
				m++
				if j.Until == m {
					decide()
				}
				h.minute(m, counts, a, 4, 30)
			}
			m++
			switch total := 1 + r.IntN(40); r.IntN(6) {
			case 0:
				counts = []int{total + 60 + r.IntN(300), counts[1], counts[2], counts[3], counts[4]}
			case 1:
				counts = []int{total, total / 2, total / 4, total / 5, total / 3}
			default:
				x := r.IntN(total + 1)
				counts = []int{total, x, x / 2, x / 3, total - x}
			}
			was := h.first
			decide()
			if h.minute(m, counts, a, 4, 30); was > 0 && h.first == 0 {
				restored++
			}
			if fmt.Sprint(a.Active) != fmt.Sprint(h.state) || (j.Until > 0) != (h.begun > 0) || (a.Held != "") != (j.Until > 0) {
				t.Fatalf("seed %d, minute %d, counts %v: active %v, held until %d; the model has %v, held since %d", seed, m, counts, a.Active, j.Until, h.state, h.begun)
			}
		}
	}
	if holds < 1000 || restored < 1000 {
		t.Errorf("%d holds, %d of them over and forgotten", holds, restored)
	}
}

// TestRiseOfAYoungSite: from below the minimum sample nothing is a jump, and exempt nodes
// are served whatever is held.
func TestRiseOfAYoungSite(t *testing.T) {
	t.Parallel()
	tree := shopTree(t)
	a := NewActivation(tree, 0.12, 0.02, 200)
	j := Jumps{Factor: 4, Window: 30}
	for m, total := range []int{1, 150, 900} {
		if _, turn := j.Decide(int64(100+m), []int{total, total, 0, 0, 0}, a); turn != Unturned {
			t.Errorf("%d visitors: %d", total, turn)
		}
	}
	if !a.Active[1] {
		t.Error("what all are in is not active")
	}
	for _, x := range []struct {
		minute int64
		total  int
		turn   Turn
	}{{120, 900, Unturned}, {121, 3601, Held}, {130, 4000, Unturned}, {131, 4000, Released}} {
		if _, turn := j.Decide(x.minute, []int{x.total, 100, 0, 0, 0}, a); turn != x.turn || !a.Active[2] || a.Active[1] != (x.minute < 131) {
			t.Errorf("minute %d: %d, active %v", x.minute, turn, a.Active)
		}
		if x.minute == 121 {
			if why := a.Why(tree, 1, 100, x.total); why != "held until 02:11 UTC: from 900 to 3601 active visitors within 10 minutes" {
				t.Error(why)
			}
		}
	}
	j.Factor = 0
	if _, turn := j.Decide(160, []int{400_000, 0, 0, 0, 0}, a); turn != Unturned {
		t.Error("held, and nothing is to be held")
	}
}
