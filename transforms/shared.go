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
	devices  *logstate.Cache[*DeviceState]
	persons  *logstate.Cache[*PersonState]
	audience *logstate.Cache[*AudienceState]
}

// deviceStore is where a DoFn of the job finds the device shards.
func (s *shared) deviceStore(from *LogSpec) (Store, error) {
	if s.local != nil {
		return localStore(s.local.device), nil
	}
	b, log := s.built, from.open()
	g, err := NewDeviceStage(b, log)
	if err != nil {
		return nil, err
	}
	cache := cached(s, &s.devices, func() *DeviceState { return NewDeviceState(b, log) },
		func(p []byte) (*DeviceState, error) { return ReadDeviceState(p, b, log) })
	return &runnerStore[*DeviceState]{g, cache}, nil
}

// personStore is where a DoFn of the job finds the person shards.
func (s *shared) personStore() Store {
	if s.local != nil {
		return localStore(s.local.person)
	}
	b := s.built
	cache := cached(s, &s.persons, func() *PersonState { return NewPersonState(b) },
		func(p []byte) (*PersonState, error) { return ReadPersonState(p, b) })
	return &runnerStore[*PersonState]{NewPersonStage(b), cache}
}

// audienceStore is where a DoFn of the job finds the audience.
func (s *shared) audienceStore() Store {
	if s.local != nil {
		return localStore(s.local.counts)
	}
	b := s.built
	cache := cached(s, &s.audience, func() *AudienceState { return NewAudienceState(b) },
		func(p []byte) (*AudienceState, error) { return ReadAudienceState(p, b) })
	return &runnerStore[*AudienceState]{NewAudienceStage(b), cache}
}

// cached is the job's cache of a stage's decoded shards; the first DoFn makes it.
func cached[S logstate.State](s *shared, c **logstate.Cache[S], empty func() S, read func([]byte) (S, error)) *logstate.Cache[S] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *c == nil {
		*c = &logstate.Cache[S]{New: empty, Read: read}
	}
	return *c
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
func find(spec *Spec) (*shared, error) {
	e, err := engine.Of(spec.Job)
	if err != nil {
		return nil, err
	}
	s := sharedOf(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.built == nil {
		if s.built, err = spec.Build(); err != nil {
			return nil, err
		}
	}
	return s, nil
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
