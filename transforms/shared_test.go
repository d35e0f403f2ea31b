package transforms

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/runner"
)

// TestJobsAreApart: jobs that run in one process at the same time count their own events, and
// hold their own visitors; when they have ended, nothing of them can be found.
func TestJobsAreApart(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	for i := range 4 {
		running.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 17))
			spec := testSpec(t, fmt.Sprint("apart-", i), 1+i%2, 3)
			l := randomLog(r, spec.Partitions, 30*(i+1), true, false)
			testLogs.Store(spec.Job, l)
			elements := l.cut(t, &spec, r)
			if err := runOn(t, runner.Name, spec, elements); err != nil {
				t.Error(err)
				return
			}
			e, err := engine.Of(spec.Job)
			if err != nil {
				t.Error(err)
				return
			}
			if s := StatsOf(e); int(s.Read) != len(l.arrival) || s.Devices == 0 || s.Reloads == 0 {
				t.Errorf("job %d has %d events, and counts %+v", i, len(l.arrival), s)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			var ended *engine.UnknownError
			if err := (&deviceFn{Spec: spec}).Setup(); !errors.As(err, &ended) {
				t.Errorf("a DoFn of a job that has ended is set up: %v", err)
			}
			if slices.Contains(engine.Opened(), spec.Job) {
				t.Errorf("%s is left behind", spec.Job)
			}
		})
	}
	running.Wait()
}
