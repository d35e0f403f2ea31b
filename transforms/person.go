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

func init() { beam.RegisterDoFn(reflect.TypeFor[personFn]()) }

// Persons is the person stage: users, views over the vectors of the devices
// linked to them, their paths in the segment tree, wake-ups, membership events
// and audience counts. It takes a PCollection<KV<int, []byte>> of vector batches
// by person shard and returns a PCollection<KV<int, []byte>> of audience counts
// (key 0), a PCollection<rows.Batch>, and a PCollection<[]byte> of records for
// the topic `segments`.
func Persons(s beam.Scope, spec Spec, col beam.PCollection) (counts, out, records beam.PCollection) {
	fn := &personFn{Spec: spec, Head: state.MakeValueState[[]byte]("head"), Deltas: state.MakeBagState[[]byte]("log")}
	return beam.ParDo3(s.Scope("transforms.Persons"), fn, col)
}

type personFn struct {
	Spec   Spec
	Head   state.Value[[]byte]
	Deltas state.Bag[[]byte]

	store   Store
	windows *inflight.Windows
}

// Setup opens the job's store.
func (fn *personFn) Setup() error {
	s, err := find(&fn.Spec)
	if err == nil {
		fn.windows, fn.store = s.windows, s.personStore()
	}
	return err
}

// ProcessElement applies one batch of one shard.
func (fn *personFn) ProcessElement(ctx context.Context, p state.Provider, shard int, batch []byte, counts func(int, []byte), out func(rows.Batch), records func([]byte)) error {
	e, id, err := vectorsFor(shard, batch)
	if err == nil {
		err = fn.store.Apply(ctx, &beamCells{p, fn.Head, fn.Deltas}, e, Outputs{Counts: counts, Rows: of(shard, out), Records: records})
	}
	if err != nil {
		return fmt.Errorf("person shard %d: %w", shard, err)
	}
	fn.windows.Shard(e.From).Leave(id)
	return nil
}
