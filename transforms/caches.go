package transforms

import (
	"sync"

	"github.com/microseg/microseg/transforms/logstate"
)

// caches are the decoded shards of this process, by job: Beam makes DoFn
// instances as it likes, and a shard may move between them.
type caches[S logstate.State] struct {
	mu sync.Mutex
	m  map[string]*logstate.Cache[S]
}

// reloads is how often the job's decoded shards were loaded.
func (c *caches[S]) reloads(job string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m[job] == nil {
		return 0
	}
	return c.m[job].Reloads.Load()
}

func (c *caches[S]) of(job string, mk func() *logstate.Cache[S]) *logstate.Cache[S] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[string]*logstate.Cache[S]{}
	}
	if c.m[job] == nil {
		c.m[job] = mk()
	}
	return c.m[job]
}
