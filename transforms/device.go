package transforms

import (
	"context"
	"fmt"
	"reflect"
	"strconv"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/microseg/microseg/engine/inflight"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/transforms/logstate"
	"github.com/microseg/microseg/transforms/wire"
)

func init() { beam.RegisterDoFn(reflect.TypeFor[deviceFn]()) }

// LogReader reads a range of the log again. Sources implement it; offsets are inclusive.
type LogReader interface {
	ReadRange(ctx context.Context, partition int32, first, last int64, f func(identity.Record) error) error
}

// logs are the readers of this process's jobs.
var logs = map[string]func(settings []byte) LogReader{}

// RegisterLog names a way to make a LogReader from its settings; call it in init.
func RegisterLog(name string, make func(settings []byte) LogReader) { logs[name] = make }

// LogSpec says how the stage finds the log of its job.
type LogSpec struct {
	Name     string // as in RegisterLog
	Settings []byte
}

// Devices is the device stage: lateness, duplicates, identity, sessions, decayed
// sums, and the paths of the persons that are one unlinked device. It takes a
// PCollection<KV<int, []byte>> of event batches by shard and returns a
// PCollection<KV<int, []byte>> of vector batches by person shard, one of
// audience counts (key 0), a PCollection<rows.Batch>, and a PCollection<[]byte>
// of records for the topic `segments`.
func Devices(s beam.Scope, spec Spec, log LogSpec, col beam.PCollection) (vectors, counts, out, records beam.PCollection) {
	fn := &deviceFn{Spec: spec, Log: log, Head: state.MakeValueState[[]byte]("head"), Deltas: state.MakeBagState[[]byte]("log")}
	return beam.ParDo4(s.Scope("transforms.Devices"), fn, col)
}

type deviceFn struct {
	Spec   Spec
	Log    LogSpec
	Head   state.Value[[]byte]
	Deltas state.Bag[[]byte]

	stage *DeviceStage
	cache *logstate.Cache[*DeviceState]
	local *Local // nil: the runner keeps the state

	windows *inflight.Windows
}

// Setup finds what the job has in this process.
func (fn *deviceFn) Setup() error {
	s, b, err := find(&fn.Spec)
	if err != nil {
		return err
	}
	fn.windows = s.windows
	if fn.local = s.local; fn.local != nil {
		return nil
	}
	var log LogReader
	if mk := logs[fn.Log.Name]; mk != nil {
		log = mk(fn.Log.Settings)
	}
	fn.cache = s.deviceCache(b, log)
	fn.stage, err = NewDeviceStage(b, log)
	return err
}

// ProcessElement applies one batch of one shard.
func (fn *deviceFn) ProcessElement(ctx context.Context, p state.Provider, shard int, batch []byte, vectors, counts func(int, []byte), out func(rows.Batch), records func([]byte)) error {
	h, err := wire.ReadHeader(batch)
	if err != nil {
		return fmt.Errorf("device shard %d: %w", shard, err)
	}
	w := fn.windows.Shard(shard)
	// Vectors leave last. A runner may have the person stage apply them, and tell the audience
	// that time has passed, before the call returns: what this stage counts would come too late.
	var last []func()
	to := Outputs{Counts: counts, Rows: of(shard, out), Records: records}
	to.Vectors = func(to int, b []byte) {
		w.Split(h.ID, 1)
		last = append(last, func() { vectors(to, b) })
	}
	if fn.local != nil {
		_, err = fn.local.device(ctx, shard, batch, to)
	} else {
		err = fn.apply(ctx, p, shard, batch, to)
	}
	if err != nil {
		return fmt.Errorf("device shard %d: %w", shard, err)
	}
	for _, f := range last {
		f()
	}
	w.Leave(h.ID)
	return nil
}

// apply applies a batch to the state that the runner keeps.
func (fn *deviceFn) apply(ctx context.Context, p state.Provider, shard int, batch []byte, out Outputs) error {
	head, _, err := fn.Head.Read(p)
	if err != nil {
		return fmt.Errorf("reading the head: %w", err)
	}
	key := strconv.Itoa(shard)
	var e *logstate.Entry[*DeviceState]
	done, _, err := fn.stage.tryAgain(ctx, func() (*DeviceState, error) {
		if e != nil {
			fn.cache.Forget(key)
		}
		var err error
		if e, err = fn.cache.Open(ctx, key, head, func() ([][]byte, error) { b, _, err := fn.Deltas.Read(p); return b, err }); err != nil {
			return nil, err
		}
		return e.State, nil
	}, batch, out)
	for i := 0; err == nil && i < len(done); i++ {
		err = write(p, fn.Head, fn.Deltas, e.Commit(done[i].delta, done[i].weight))
	}
	if err != nil {
		// The decoded state may hold half of the batch.
		fn.cache.Forget(key)
	}
	return err
}

// of marks rows with the shard that made them.
func of(shard int, out func(rows.Batch)) func(rows.Batch) {
	return func(b rows.Batch) {
		b.Shard = shard
		out(b)
	}
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
