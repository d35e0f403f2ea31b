package main

import "testing"

// TestGCPercent: small heaps may grow by the headroom, large ones as Go has it.
func TestGCPercent(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 400, 10 << 20: 400, 80 << 20: 400, 160 << 20: 200, 320 << 20: 100, 4 << 30: 100} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes: %d, want %d", live, got, want)
		}
	}
}
