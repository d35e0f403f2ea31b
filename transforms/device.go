package transforms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms/logstate"
	"github.com/microseg/microseg/transforms/rows"
)

func init() { beam.RegisterDoFn(reflect.TypeFor[deviceFn]()) }

// LogReader reads a range of the log again. Sources implement it; offsets are inclusive.
type LogReader interface {
	ReadRange(ctx context.Context, partition int32, first, last int64, f func(identity.Record) error) error
}

// logs are the readers of this process's jobs.
var logs = map[string]func(spec []byte) LogReader{}

// RegisterLog names a way to make a LogReader from its settings; call it in init.
func RegisterLog(name string, make func(settings []byte) LogReader) { logs[name] = make }

// Devices is the device stage: lateness, duplicates, identity, sessions and
// decayed vectors. It takes a PCollection<KV<int, []byte>> of event batches by
// shard and returns a PCollection<KV<int, []byte>> of vector batches by person
// shard, and a PCollection<rows.Batch>.
func Devices(s beam.Scope, spec Spec, logName string, logSettings []byte, col beam.PCollection) (vectors, out beam.PCollection) {
	fn := &deviceFn{Spec: spec, LogName: logName, LogSettings: logSettings,
		Head: state.MakeValueState[[]byte]("head"), Log: state.MakeBagState[[]byte]("log")}
	return beam.ParDo2(s.Scope("transforms.Devices"), fn, col)
}

type deviceFn struct {
	Spec        Spec
	LogName     string
	LogSettings []byte
	Head        state.Value[[]byte]
	Log         state.Bag[[]byte]

	stage *DeviceStage
	cache *logstate.Cache[*DeviceState]
}

// Setup compiles the spec and finds the process's cache of decoded shards.
func (fn *deviceFn) Setup() error {
	b, err := fn.Spec.Build()
	if err != nil {
		return err
	}
	var log LogReader
	if mk := logs[fn.LogName]; mk != nil {
		log = mk(fn.LogSettings)
	}
	if fn.stage, err = NewDeviceStage(b, log); err != nil {
		return err
	}
	fn.cache = deviceCaches.of(fn.Spec.Job, func() *logstate.Cache[*DeviceState] {
		return &logstate.Cache[*DeviceState]{New: func() *DeviceState { return NewDeviceState(b) },
			Read: func(p []byte) (*DeviceState, error) { return ReadDeviceState(p, b) }}
	})
	return nil
}

// ProcessElement applies one batch of one shard.
func (fn *deviceFn) ProcessElement(ctx context.Context, p state.Provider, shard int, batch []byte, vectors func(int, []byte), out func(rows.Batch)) error {
	head, _, err := fn.Head.Read(p)
	if err != nil {
		return fmt.Errorf("reading the head of device shard %d: %w", shard, err)
	}
	key := strconv.Itoa(shard)
	e, err := fn.cache.Open(key, head, func() ([][]byte, error) { b, _, err := fn.Log.Read(p); return b, err })
	if err != nil {
		return err
	}
	applied, err := fn.stage.Apply(ctx, e.State, shard, batch, vectors, out)
	if err == nil {
		for _, b := range applied {
			if err = write(p, fn.Head, fn.Log, e.Commit(b)); err != nil {
				break
			}
		}
	}
	if err != nil {
		// The decoded state may hold half of the batch.
		fn.cache.Forget(key)
		return fmt.Errorf("device shard %d: %w", shard, err)
	}
	return nil
}

// write puts a change into Beam state.
func write(p state.Provider, head state.Value[[]byte], log state.Bag[[]byte], c logstate.Change) error {
	if c.Clear {
		if err := log.Clear(p); err != nil {
			return fmt.Errorf("clearing the log: %w", err)
		}
	}
	for _, e := range c.Entries {
		if err := log.Add(p, e); err != nil {
			return fmt.Errorf("appending to the log: %w", err)
		}
	}
	if err := head.Write(p, c.Head); err != nil {
		return fmt.Errorf("writing the head: %w", err)
	}
	return nil
}

// Apply applies a batch. Where offsets are missing before it, they are read
// from the log again and applied first. It returns the batches to commit.
func (g *DeviceStage) Apply(ctx context.Context, s *DeviceState, shard int, batch []byte, vectors func(int, []byte), out func(rows.Batch)) ([][]byte, error) {
	var applied [][]byte
	for {
		err := g.apply(s, shard, batch, vectors, out)
		var gap *identity.GapError
		if !errors.As(err, &gap) {
			return append(applied, batch), err
		}
		if g.log == nil {
			return nil, err
		}
		slog.Warn("re-reading a gap in the log", "shard", shard, "partition", gap.Partition, "first", gap.First, "last", gap.Last)
		missing, err := g.reread(ctx, shard, gap)
		if err != nil {
			return nil, err
		}
		if err := g.apply(s, shard, missing, vectors, out); err != nil {
			return nil, fmt.Errorf("applying offsets %d to %d again: %w", gap.First, gap.Last, err)
		}
		applied = append(applied, missing)
	}
}

func (g *DeviceStage) reread(ctx context.Context, shard int, gap *identity.GapError) ([]byte, error) {
	b := identity.RawBatch{Shard: shard, ID: -1, Ranges: []identity.Range{{Partition: gap.Partition, Prev: gap.First - 1, First: gap.First, Last: gap.Last}}}
	err := g.log.ReadRange(ctx, gap.Partition, gap.First, gap.Last, func(r identity.Record) error {
		b.Records = append(b.Records, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("re-reading the log after a gap: %w", err)
	}
	return g.decoder.Decode(&b)
}
