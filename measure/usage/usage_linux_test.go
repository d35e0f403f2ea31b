package usage

import (
	"os"
	"testing"
	"time"
)

// TestUsage: this process is seen alike from within and from without, and the machine has
// used at least as much; who is not there has used nothing.
func TestUsage(t *testing.T) {
	for begun := time.Now(); time.Since(begun) < 50*time.Millisecond; { // use something
	}
	pid := os.Getpid()
	if own, seen := CPU(), CPUOf(pid); own <= 0 || seen <= 0 || seen > CPU()+0.1 || Machine() < own {
		t.Errorf("%v s from within, %v from without, the machine %v", own, seen, Machine())
	}
	if now, most := MB(pid), PeakMB(pid); now <= 0 || most < now/2 {
		t.Errorf("%v MB, at most %v", now, most)
	}
	if CPUOf(0) != 0 || MB(1<<30) != 0 {
		t.Error("nobody uses something")
	}
}
