package transforms

import (
	"context"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/microseg/microseg/rows"
)

func init() { beam.RegisterDoFn(reflect.TypeFor[audienceFn]()) }

// Audience decides which segments are active: minute by minute of event time,
// in order, once every shard has passed the minute. It takes a
// PCollection<KV<int, []byte>> of counts (one key) and returns a
// PCollection<rows.Batch> and a PCollection<[]byte> of records for the topic
// `segments`.
func Audience(s beam.Scope, spec Spec, col beam.PCollection) (out, records beam.PCollection) {
	return beam.ParDo2(s.Scope("transforms.Audience"), &audienceFn{Spec: spec, Head: state.MakeValueState[[]byte]("head"), Log: state.MakeBagState[[]byte]("log")}, col)
}

type audienceFn struct {
	Spec Spec
	Head state.Value[[]byte]
	Log  state.Bag[[]byte]

	store Store
}

// Setup opens the job's store.
func (fn *audienceFn) Setup() error {
	s, err := find(&fn.Spec)
	if err == nil {
		fn.store = s.audienceStore()
	}
	return err
}

// ProcessElement takes one reporter's counts and decides the minutes that are complete.
func (fn *audienceFn) ProcessElement(ctx context.Context, p state.Provider, _ int, counts []byte, out func(rows.Batch), records func([]byte)) error {
	e, err := countsFor(counts)
	if err != nil {
		return err
	}
	return fn.store.Apply(ctx, &beamCells{p, fn.Head, fn.Log}, e, Outputs{Rows: out, Records: records})
}
