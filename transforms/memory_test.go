package transforms

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"testing"
)

// TestFreeMemoryDecidesNothing: whom there is room for must follow from the log. Had free
// memory a say, a replay on a larger machine, or a restart while others use this one, would
// let others go than were told of. With next to no memory, with plenty and with a collector
// that never runs, the same comes of a log under a limit of devices. It changes what is the
// process's and so runs beside no other test.
func TestFreeMemoryDecidesNothing(t *testing.T) {
	limit, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	defer func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	}()
	gone := 0
	for seed := range seeds(4) {
		r := rand.New(rand.NewPCG(seed, 25))
		spec := testSpec(t, fmt.Sprint("memory-", seed), 1+r.IntN(2), 3)
		spec.MaxState = namedLimit
		l := strangerLog(r, spec.Partitions, 300, 3*namedLimit)
		batches := l.cut(t, &spec, r)
		var want tables
		for i, of := range []struct {
			limit   int64 // GOMEMLIMIT
			percent int   // GOGC
		}{{math.MaxInt64, 100}, {1 << 20, 10}, {64 << 20, 400}, {math.MaxInt64, -1}} {
			debug.SetMemoryLimit(of.limit)
			debug.SetGCPercent(of.percent)
			got := runPlain(t, &spec, l, batches)
			forgetBuilt(spec.Job)
			if gone += got.evicted(); i == 0 {
				want = got
				continue
			}
			compareLives(t, seed, &spec, l, want, got)
		}
	}
	if gone == 0 && !chosen() {
		t.Error("no limit was met")
	}
}
