package main

import (
	"strings"
	"testing"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms"
)

// TestStateCost: a limit of devices that the memory does not hold was told by nobody
// before the machine ended the job.
func TestStateCost(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	for limit, want := range map[int64]string{0: "GOMEMLIMIT is not set", 512 << 20: "make it 412977 or less", 8 << 30: "GOMEMLIMIT is 8590 MB"} {
		if got := stateCost(cfg, limit); !strings.Contains(got, want) || !strings.Contains(got, "state.max_devices is 1000000: up to 420 MB") {
			t.Errorf("%d: %s", limit, got)
		}
	}
	var out strings.Builder
	if err := check(&out, ""); err != nil {
		t.Fatal(err)
	}
	expect(t, out.String(), "state.max_devices is 1000000")
	s := transforms.Stats{Devices: 100}
	if h := newStateHealth(&s, 100); len(h.Notes) != 0 || h.MaxDevices != 100 || h.Evicted["user"] != 0 {
		t.Errorf("%+v", h)
	}
	s.LetGo[identity.ClassExpired] = 3
	if note := fullState(&s, 100); note != "" {
		t.Error(note)
	}
	s.LetGo[identity.ClassSingle] = 7
	expect(t, strings.Join(newStateHealth(&s, 100).Notes, ""), "7 were let go for others")
}
