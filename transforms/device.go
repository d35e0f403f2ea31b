package transforms

import (
	"context"
	"fmt"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/microseg/microseg/engine/inflight"
	"github.com/microseg/microseg/rows"
)

func init() { beam.RegisterDoFn(reflect.TypeFor[deviceFn]()) }

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

	store   Store
	windows *inflight.Windows
}

// Setup opens the job's store.
func (fn *deviceFn) Setup() error {
	s, err := find(&fn.Spec)
	if err != nil {
		return err
	}
	fn.windows = s.windows
	fn.store, err = s.deviceStore(&fn.Log)
	return err
}

// ProcessElement applies one batch of one shard.
func (fn *deviceFn) ProcessElement(ctx context.Context, p state.Provider, shard int, batch []byte, vectors, counts func(int, []byte), out func(rows.Batch), records func([]byte)) error {
	e, err := eventsFor(shard, batch)
	if err != nil {
		return fmt.Errorf("device shard %d: %w", shard, err)
	}
	w := fn.windows.Shard(shard)
	// Vectors leave last. A runner may have the person stage apply them, and tell the audience
	// that time has passed, before the call returns: what this stage counts would come too late.
	var last []func()
	to := Outputs{Counts: counts, Rows: of(shard, out), Records: records}
	to.Vectors = func(to int, b []byte) {
		w.Split(e.Number, 1)
		last = append(last, func() { vectors(to, b) })
	}
	if err := fn.store.Apply(ctx, &beamCells{p, fn.Head, fn.Deltas}, e, to); err != nil {
		return fmt.Errorf("device shard %d: %w", shard, err)
	}
	for _, f := range last {
		f()
	}
	w.Leave(e.Number)
	return nil
}
