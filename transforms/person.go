package transforms

import (
	"fmt"
	"reflect"
	"strconv"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/microseg/microseg/event/inflight"
	"github.com/microseg/microseg/transforms/logstate"
	"github.com/microseg/microseg/transforms/rows"
	"github.com/microseg/microseg/transforms/wire"
)

func init() { beam.RegisterDoFn(reflect.TypeFor[personFn]()) }

// Persons is the person stage: the view over device vectors, the path in the
// segment tree, wake-ups, membership events and audience counts. It takes a
// PCollection<KV<int, []byte>> of vector batches by person shard and returns a
// PCollection<KV<int, []byte>> of audience counts (key 0) and a
// PCollection<rows.Batch>.
func Persons(s beam.Scope, spec Spec, col beam.PCollection) (counts, out beam.PCollection) {
	fn := &personFn{Spec: spec, Head: state.MakeValueState[[]byte]("head"), Log: state.MakeBagState[[]byte]("log")}
	return beam.ParDo2(s.Scope("transforms.Persons"), fn, col)
}

type personFn struct {
	Spec Spec
	Head state.Value[[]byte]
	Log  state.Bag[[]byte]

	stage *PersonStage
	cache *logstate.Cache[*PersonState]
}

// Setup compiles the spec and finds the process's cache of decoded shards.
func (fn *personFn) Setup() error {
	b, err := fn.Spec.Build()
	if err != nil {
		return err
	}
	fn.stage = NewPersonStage(b)
	fn.cache = personCaches.of(fn.Spec.Job, func() *logstate.Cache[*PersonState] {
		return &logstate.Cache[*PersonState]{New: func() *PersonState { return NewPersonState(b) },
			Read: func(p []byte) (*PersonState, error) { return ReadPersonState(p, b) }}
	})
	return nil
}

// ProcessElement applies one batch of one shard.
func (fn *personFn) ProcessElement(p state.Provider, shard int, batch []byte, counts func(int, []byte), out func(rows.Batch)) error {
	head, _, err := fn.Head.Read(p)
	if err != nil {
		return fmt.Errorf("reading the head of person shard %d: %w", shard, err)
	}
	key := strconv.Itoa(shard)
	e, err := fn.cache.Open(key, head, func() ([][]byte, error) { b, _, err := fn.Log.Read(p); return b, err })
	if err != nil {
		return err
	}
	h, err := fn.stage.Apply(e.State, shard, batch, counts, out)
	if err == nil {
		err = write(p, fn.Head, fn.Log, e.Commit(batch))
	}
	if err != nil {
		// The decoded state may hold half of the batch.
		fn.cache.Forget(key)
		return fmt.Errorf("person shard %d: %w", shard, err)
	}
	leave(&fn.Spec, h)
	return nil
}

// leave tells the source that a batch is through.
func leave(spec *Spec, h *wire.Header) {
	if h.Own {
		inflight.Of(spec.Job + "/" + strconv.Itoa(h.Shard)).Leave(h.ID)
	}
}
