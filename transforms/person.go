package transforms

import (
	"context"
	"fmt"
	"reflect"
	"strconv"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/microseg/microseg/engine/inflight"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/transforms/logstate"
	"github.com/microseg/microseg/transforms/wire"
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

	stage *PersonStage
	cache *logstate.Cache[*PersonState]
	local *Local // nil: the runner keeps the state

	windows *inflight.Windows
}

// Setup finds what the job has in this process.
func (fn *personFn) Setup() error {
	s, b, err := find(&fn.Spec)
	if err != nil {
		return err
	}
	fn.windows = s.windows
	if fn.local = s.local; fn.local != nil {
		return nil
	}
	fn.cache, fn.stage = s.personCache(b), NewPersonStage(b)
	return nil
}

// ProcessElement applies one batch of one shard.
func (fn *personFn) ProcessElement(ctx context.Context, p state.Provider, shard int, batch []byte, counts func(int, []byte), out func(rows.Batch), records func([]byte)) error {
	to := Outputs{Counts: counts, Rows: of(shard, out), Records: records}
	var h wire.Header
	var err error
	if fn.local != nil {
		h, err = fn.local.person(ctx, shard, batch, to)
	} else {
		h, err = fn.apply(ctx, p, shard, batch, to)
	}
	if err != nil {
		return fmt.Errorf("person shard %d: %w", shard, err)
	}
	fn.windows.Shard(h.Shard).Leave(h.ID)
	return nil
}

// apply applies a batch to the state that the runner keeps.
func (fn *personFn) apply(ctx context.Context, p state.Provider, shard int, batch []byte, out Outputs) (wire.Header, error) {
	head, _, err := fn.Head.Read(p)
	if err != nil {
		return wire.Header{}, fmt.Errorf("reading the head: %w", err)
	}
	key := strconv.Itoa(shard)
	var e *logstate.Entry[*PersonState]
	h, batch, err := fn.stage.tryAgain(ctx, func() (*PersonState, error) {
		if e != nil {
			fn.cache.Forget(key)
		}
		var err error
		if e, err = fn.cache.Open(ctx, key, head, func() ([][]byte, error) { b, _, err := fn.Deltas.Read(p); return b, err }); err != nil {
			return nil, err
		}
		return e.State, nil
	}, shard, batch, out)
	if err == nil {
		weight := len(batch)
		if fn.stage.compact {
			weight = compactNow
		}
		err = write(p, fn.Head, fn.Deltas, e.Commit(batch, weight))
	}
	if err != nil {
		// The decoded state may hold half of the batch.
		fn.cache.Forget(key)
		return wire.Header{}, err
	}
	return *h, nil
}
