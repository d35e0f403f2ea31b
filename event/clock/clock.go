// Package clock is the wall clock that event time is compared with: when the
// collector received an event, for how long a partition has been idle, what a
// serving node calls now. Tests move it for all of them at once. Latencies are
// measured with the real clock.
package clock

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

var ahead atomic.Int64

// Now is the time.
func Now() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }

// NowMS is the time in ms since the epoch.
func NowMS() int64 { return Now().UnixMilli() }

// aheadEnv is how far a process's clock is ahead of the machine's, as 5m or -5m:
// testing/faults runs nodes on one machine whose clocks differ.
const aheadEnv = "MICROSEG_TEST_CLOCK_AHEAD"

// FromEnv moves the clock as the environment says.
func FromEnv() error {
	text := os.Getenv(aheadEnv)
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("reading %s: %w", aheadEnv, err)
	}
	Advance(d)
	return nil
}

// Advance moves the clock of this process forward by d, for tests.
func Advance(d time.Duration) { ahead.Add(int64(d)) }

// Ahead is how far the clock was moved.
func Ahead() time.Duration { return time.Duration(ahead.Load()) }
