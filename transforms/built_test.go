package transforms

import (
	"sync"
	"testing"

	"github.com/microseg/microseg/engine"
)

// builtOnce are what tests have compiled, by job: lives of a job share it, with what a test
// has put into it.
var builtOnce sync.Map

func (s *Spec) buildOnce() (*Built, error) {
	if b, ok := builtOnce.Load(s.Job); ok {
		return b.(*Built), nil
	}
	b, err := s.Build()
	if err == nil {
		builtOnce.Store(s.Job, b)
	}
	return b, err
}

// forgetBuilt lets go of what a job compiled.
func forgetBuilt(job string) { builtOnce.Delete(job) }

// openJob readies the process for the DoFns of a job, as who builds its pipeline does.
func openJob(t *testing.T, spec *Spec) *engine.Engine {
	t.Helper()
	b, err := spec.buildOnce()
	check(t, err)
	e := engine.New(spec.Job)
	check(t, e.Open())
	sharedOf(e).built = b
	t.Cleanup(func() { check(t, e.Close()) })
	return e
}
