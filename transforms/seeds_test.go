package transforms

import (
	"flag"
	"iter"
)

// Random tests draw their logs from seeds. Which ones, and how many, can be said to each
// of them: go test ./transforms -run KilledAtAnyMoment -seeds 400 -first-seed 1000
var (
	manySeeds = flag.Int("seeds", 0, "how many seeds a random test tries, 0: as many as it says")
	firstSeed = flag.Uint64("first-seed", 0, "the first of them")
)

// seeds are those of a random test that tries n of them if nobody says otherwise, and
// always those of which it once failed. A test of a few seeds need not try everything:
// see chosen.
func seeds(n int, failed ...uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		first, many := uint64(0), n
		if chosen() {
			first, many, failed = *firstSeed, max(*manySeeds, 1), nil
		}
		for i := range uint64(many) {
			if !yield(first + i) {
				return
			}
		}
		for _, seed := range failed {
			if seed >= uint64(many) && !yield(seed) {
				return
			}
		}
	}
}

// chosen reports whether somebody has said which seeds to try: they may be too few to
// meet everything that a test wants to have met.
func chosen() bool { return *manySeeds > 0 || *firstSeed > 0 }
