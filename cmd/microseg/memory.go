package main

import (
	"fmt"
	"math"
	"runtime/debug"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms"
)

// What a device takes in both stages, in bytes (DESIGN.md, "What was measured"): while
// nothing comes of it, and with the session of its first event open. The garbage of Go's
// collector comes on top: as much again, or what GOMEMLIMIT leaves.
const (
	idleDeviceBytes = 420
	openDeviceBytes = 1300
)

// memoryLimit is GOMEMLIMIT in bytes, 0 where there is none. The collector keeps to it by
// itself, whatever tuneGC sets.
func memoryLimit() int64 {
	if l := debug.SetMemoryLimit(-1); l < math.MaxInt64 {
		return l
	}
	return 0
}

// stateCost says what the limit of devices costs.
func stateCost(cfg *config.Config, limit int64) string {
	n := int64(cfg.State.MaxDevices)
	text := fmt.Sprintf("state.max_devices is %d: up to %s while they are quiet, %s when all have come within a session's time, and as much again for the collector", n, inMB(n*idleDeviceBytes), inMB(n*openDeviceBytes))
	switch {
	case limit == 0:
		return text + "; GOMEMLIMIT is not set: set it to what the machine can give"
	case n*openDeviceBytes > limit:
		return text + fmt.Sprintf("; that is more than GOMEMLIMIT, %s: make it %d or less", inMB(limit), limit/openDeviceBytes)
	}
	return text + "; GOMEMLIMIT is " + inMB(limit)
}

func inMB(b int64) string { return fmt.Sprintf("%d MB", (b+1e6-1)/1e6) }

// stateHealth is what a job tells of the devices that it keeps. It fails no check: who is
// let go was not needed by anybody else.
type stateHealth struct {
	Devices     int               `json:"devices"`
	MaxDevices  int               `json:"max_devices"`
	Evicted     map[string]uint64 `json:"evicted"`            // by class, since the state began
	MemoryLimit int64             `json:"memory_limit_bytes"` // GOMEMLIMIT; 0: none
	Notes       []string          `json:"notes,omitempty"`
}

func newStateHealth(s *transforms.Stats, most int) *stateHealth {
	h := &stateHealth{Devices: s.Devices, MaxDevices: most, Evicted: map[string]uint64{}, MemoryLimit: memoryLimit()}
	for c, n := range s.LetGo {
		h.Evicted[identity.Classes[c]] = n
	}
	if note := fullState(s, most); note != "" {
		h.Notes = append(h.Notes, note)
	}
	return h
}

// fullState says that devices are let go for others; empty: there is room.
func fullState(s *transforms.Stats, most int) string {
	var gone uint64
	for c, n := range s.LetGo {
		if identity.Class(c) != identity.ClassExpired {
			gone += n
		}
	}
	if gone == 0 || s.Devices < most-most/10 {
		return ""
	}
	return fmt.Sprintf("there are %d devices and state.max_devices is %d: %d were let go for others so far, users last (microseg_evicted_total says which); is it a flood? Else raise it, if there is memory", s.Devices, most, gone)
}
