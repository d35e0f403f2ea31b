package clock

import (
	"sync"
	"time"
)

// Forward is the wall clock of something that moves between machines whose clocks
// differ, or whose clock is set back: it never goes back. Where Now is behind what
// it has said it runs at half the speed, until the two meet.
type Forward struct {
	mu   sync.Mutex
	last time.Time // what it said last
	at   time.Time // when that was; with a monotonic reading
}

// NewForward returns a clock that has said after.
func NewForward(after time.Time) *Forward { return &Forward{last: after, at: time.Now()} }

// Now is the time. It is safe for concurrent use.
func (f *Forward) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	real := time.Now()
	least := f.last.Add(real.Sub(f.at) / 2)
	f.last, f.at = Now().Round(0), real // without a monotonic reading, which would hide that it was set back
	if f.last.Before(least) {
		f.last = least
	}
	return f.last
}
