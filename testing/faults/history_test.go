package faults

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestInOrder: a chain that was shuffled within its batches is found again, and a
// broken one is not taken for whole. In one run a user was unlinked and came back
// in one batch, by an event that was older than the unlinking. In another one the
// two chains of such a batch were taken for each other where their numbers and
// places were the same, and only times told them apart.
func TestInOrder(t *testing.T) {
	t.Parallel()
	places := []string{"", "everyone", "everyone/low_intent", "everyone/high_intent"}
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		var chain []*move
		where, number, version, at := "", uint32(0), uint64(0), int64(0)
		for range 1 + r.IntN(12) {
			to := places[r.IntN(len(places))]
			if to == where {
				continue
			}
			if where == "" {
				number, at = 0, r.Int64N(100)
			}
			number++
			version += r.Uint64N(2)
			at += r.Int64N(9)
			chain = append(chain, &move{transition: number, version: version, at: at, from: where, to: to})
			where = to
		}
		shuffled := slices.Clone(chain)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		slices.SortStableFunc(shuffled, func(a, b *move) int { return int(a.version) - int(b.version) })
		if !inOrder(shuffled, &move{}) {
			t.Fatalf("seed %d: the chain is not found", seed)
		}
		whole, number, at := "", uint32(0), int64(0)
		for _, m := range shuffled {
			if whole == "" {
				number, at = 0, 0
			}
			if number++; m.from != whole || m.transition != number || m.at < at {
				t.Fatalf("seed %d: from %q to %q at %d is number %d, behind %q at %d", seed, m.from, m.to, m.at, m.transition, whole, at)
			}
			whole, at = m.to, m.at
		}
		if len(chain) > 2 && inOrder(slices.Delete(slices.Clone(chain), 1, 2), &move{}) && chain[0].to != chain[1].to && chain[1].from != "" && chain[1].to != "" {
			t.Fatalf("seed %d: a chain without its second change is taken for whole", seed)
		}
	}
}
