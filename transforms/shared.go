package transforms

import (
	"sync"

	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/engine/inflight"
	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/transforms/logstate"
)

// shared is what the stages of a job have in common in this process.
type shared struct {
	windows *inflight.Windows

	mu    sync.Mutex
	built *Built
	local *Local // nil: the runner keeps the states
	// Decoded shards, where the runner keeps the states: Beam makes DoFn instances as it
	// likes, and a shard may move between them.
	devices *logstate.Cache[*DeviceState]
	persons *logstate.Cache[*PersonState]
}

// deviceCache has the job's decoded device shards.
func (s *shared) deviceCache(b *Built, log LogReader) *logstate.Cache[*DeviceState] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.devices == nil {
		s.devices = &logstate.Cache[*DeviceState]{New: func() *DeviceState { return NewDeviceState(b, log) },
			Read: func(p []byte) (*DeviceState, error) { return ReadDeviceState(p, b, log) }}
	}
	return s.devices
}

// personCache has the job's decoded person shards.
func (s *shared) personCache(b *Built) *logstate.Cache[*PersonState] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.persons == nil {
		s.persons = &logstate.Cache[*PersonState]{New: func() *PersonState { return NewPersonState(b) },
			Read: func(p []byte) (*PersonState, error) { return ReadPersonState(p, b) }}
	}
	return s.persons
}

func sharedOf(e *engine.Engine) *shared {
	windows := inflight.Of(e)
	return engine.Part(e, func() *shared { return &shared{windows: windows} })
}

// Start makes the stages of a job in this process keep their states in l.
func Start(e *engine.Engine, l *Local) {
	s := sharedOf(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.built, s.local = l.built, l
}

// find is what a DoFn of the job needs.
func find(spec *Spec) (*shared, *Built, error) {
	e, err := engine.Of(spec.Job)
	if err != nil {
		return nil, nil, err
	}
	s := sharedOf(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.built == nil {
		if s.built, err = spec.Build(); err != nil {
			return nil, nil, err
		}
	}
	return s, s.built, nil
}

// BuiltOf is what a job in this process runs with, nil before it has started.
func BuiltOf(e *engine.Engine) *Built {
	s := engine.Look[shared](e)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.built
}

// StatsOf are the stats of a job in this process.
func StatsOf(e *engine.Engine) (sum Stats) {
	s := engine.Look[shared](e)
	if s == nil {
		return sum
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.built != nil {
		sum = s.built.board.sum()
	}
	if s.devices != nil {
		sum.Reloads += s.devices.Reloads.Load()
	}
	if s.persons != nil {
		sum.Reloads += s.persons.Reloads.Load()
	}
	return sum
}

// Latencies are a job's latency histograms in this process, by stage name.
func Latencies(e *engine.Engine) map[string]latency.Histogram {
	if b := BuiltOf(e); b != nil {
		return b.ledger.total()
	}
	return nil
}

// ForgetLatencies begins the histograms of Latencies anew: a benchmark has warmed up.
func ForgetLatencies(e *engine.Engine) {
	if b := BuiltOf(e); b != nil {
		b.ledger.forget()
	}
}
