package faults

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/microseg/microseg/testing/harness/child"
)

// zombieGrace is how long a job that came back as a zombie may take to notice,
// with the log there; then it is killed.
const zombieGrace = 10 * time.Second

// injector makes the faults of a schedule happen.
type injector struct {
	c      *cluster
	watch  *progress
	report func(string, ...any)

	mu     sync.Mutex
	kills  map[string]int
	fenced int // zombies that ended by themselves
}

// run makes everything happen at its time, counted from now, and returns when
// the last one is over.
func (in *injector) run(ctx context.Context, plan faults) {
	start := time.Now()
	var all sync.WaitGroup
	for _, f := range plan {
		pause(ctx, time.Until(start.Add(f.at)))
		if ctx.Err() != nil {
			break
		}
		all.Go(func() { in.inject(ctx, f) })
	}
	all.Wait()
}

func (in *injector) inject(ctx context.Context, f fault) {
	in.report("fault: %s, for %v", strings.Join(f.kinds, "+"), f.down.Round(time.Millisecond))
	if f.kinds[0] == kindZombie {
		in.zombie(ctx, f)
		return
	}
	var all sync.WaitGroup
	for _, kind := range f.kinds {
		all.Go(func() { in.kill(ctx, kind, f) })
	}
	all.Wait()
}

// kill is kill -9, an outage, and a new start.
func (in *injector) kill(ctx context.Context, kind string, f fault) {
	u := in.c.unit(kind, f.node)
	u.faults.Lock()
	defer u.faults.Unlock()
	u.crash()
	in.count(kind)
	pause(ctx, f.down)
	u.revive()
	in.watch.restarted(kind, f.node)
}

// zombie stops a job without killing it, lets another one take over, and
// wakes the first one: it must not do harm, and is killed when it goes on.
func (in *injector) zombie(ctx context.Context, f fault) {
	u := in.c.pipeline
	u.faults.Lock()
	p, ok := u.running().(*child.Process)
	if !ok {
		u.faults.Unlock()
		return // everything ends
	}
	// It must stand still before the other one starts.
	p.Signal(syscall.SIGSTOP)
	u.detach()
	in.watch.restarted(kindZombie, 0)
	u.faults.Unlock()
	in.count(kindZombie)
	defer p.Kill()
	pause(ctx, f.down)
	p.Signal(syscall.SIGCONT)
	in.report("fault: the zombie is awake")
	for {
		log := in.c.kafka.running()
		select {
		case <-p.Exited():
			in.report("fault: the zombie has ended by itself")
			in.mu.Lock()
			in.fenced++
			in.mu.Unlock()
			return
		case <-time.After(zombieGrace):
			if in.c.kafka.running() == log {
				in.report("fault: the zombie goes on; it is killed")
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (in *injector) count(kind string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.kills[kind]++
}
