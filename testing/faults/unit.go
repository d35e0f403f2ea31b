package faults

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// process is a server that can be killed.
type process interface {
	Kill()
	Exited() <-chan struct{}
}

// restartAfter is how long the keeper of a process that ended by itself waits
// before it starts it again, as a service manager would.
const restartAfter = 500 * time.Millisecond

// unit is one server that is started again whenever it has ended, unless a
// fault keeps it down.
type unit struct {
	name   string
	start  func(ctx context.Context, n int) (process, error) // n counts the starts, from 1
	report func(format string, args ...any)

	faults sync.Mutex // one fault of the unit at a time
	mu     sync.Mutex
	cond   *sync.Cond
	cur    process
	left   chan struct{} // closed when cur is no longer the unit's
	down   bool
	ended  bool
	starts int
	exits  int    // how often it ended by itself
	told   string // of the keeper
}

func newUnit(name string, report func(string, ...any), start func(context.Context, int) (process, error)) *unit {
	u := &unit{name: name, start: start, report: report}
	u.cond = sync.NewCond(&u.mu)
	return u
}

// keep runs the unit until the context ends, and then kills it.
func (u *unit) keep(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.ended = true
		u.cond.Broadcast()
	})
	defer stop()
	for u.mayStart() {
		p, err := u.start(ctx, u.starts)
		if err != nil {
			if ctx.Err() == nil {
				u.tell("does not start", err.Error())
			}
			pause(ctx, restartAfter)
			continue
		}
		left := u.set(p)
		select {
		case <-p.Exited():
			if u.unset() {
				u.tell("has ended by itself", lastWords(p))
				pause(ctx, restartAfter)
			}
		case <-left:
		case <-ctx.Done():
			p.Kill()
			u.unset()
		}
	}
}

// tell reports what went wrong, once for as long as it is the same.
func (u *unit) tell(what, why string) {
	if text := what + why; text != u.told {
		u.told = text
		u.report("%s %s: %s", u.name, what, why)
	}
}

// lastWords are the end of what a process has written, if it tells.
func lastWords(p process) string {
	c, ok := p.(interface{ Log() string })
	if !ok {
		return ""
	}
	text := c.Log()
	return text[max(0, len(text)-maxWords):]
}

// maxWords bounds lastWords, in bytes.
const maxWords = 300

// mayStart waits while the unit is down; false: for good.
func (u *unit) mayStart() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.down && !u.ended {
		u.cond.Wait()
	}
	u.starts++
	return !u.ended
}

func (u *unit) set(p process) chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cur, u.left = p, make(chan struct{})
	u.cond.Broadcast()
	return u.left
}

// unset reports whether the process ended without a fault.
func (u *unit) unset() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cur = nil
	u.cond.Broadcast()
	if u.down || u.ended {
		return false
	}
	u.exits++
	return true
}

// again notes that the process was started again by a keeper of its own.
func (u *unit) again() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.exits++
}

// running waits until the unit runs; nil: it never will again.
func (u *unit) running() process {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.cur == nil && !u.ended {
		u.cond.Wait()
	}
	return u.cur
}

// crash kills the unit, as soon as it runs, and keeps it down.
func (u *unit) crash() {
	p := u.running()
	u.mu.Lock()
	u.down = true
	u.mu.Unlock()
	if p == nil {
		return
	}
	p.Kill()
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.cur == p { // until the keeper has seen it
		u.cond.Wait()
	}
}

// revive lets the unit start again.
func (u *unit) revive() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.down = false
	u.cond.Broadcast()
}

// detach gives the running process away: the unit starts another one.
func (u *unit) detach() process {
	p := u.running()
	u.mu.Lock()
	defer u.mu.Unlock()
	if p != nil && u.cur == p {
		u.cur = nil
		close(u.left)
	}
	return p
}

// stop ends the unit in order, by end, and keeps it down.
func (u *unit) stop(end func(process) error) error {
	p := u.running()
	if p == nil {
		return fmt.Errorf("stopping %s: it does not run", u.name)
	}
	u.mu.Lock()
	u.down = true
	u.mu.Unlock()
	return end(p)
}

// pause sleeps, or returns when the context ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
