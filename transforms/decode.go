package transforms

import (
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms/wire"
)

func init() { beam.RegisterDoFn(reflect.TypeFor[decodeFn]()) }

// Decode parses JSON in the source's own stage, so that only narrow Arrow
// columns travel. It takes a PCollection<identity.RawBatch> and returns a
// PCollection<KV<int, []byte>>: shard, batch of events.
func Decode(s beam.Scope, spec Spec, col beam.PCollection) beam.PCollection {
	return beam.ParDo(s.Scope("transforms.Decode"), &decodeFn{Spec: spec}, col)
}

type decodeFn struct {
	Spec Spec
	d    *BatchDecoder
	w    *wire.EventWriter
}

// Setup makes the decoder.
func (fn *decodeFn) Setup() (err error) {
	fn.w = wire.NewEventWriter()
	fn.d, err = NewBatchDecoder(&fn.Spec)
	return err
}

// ProcessElement decodes one batch.
func (fn *decodeFn) ProcessElement(b identity.RawBatch, emit func(int, []byte)) error {
	h, events := fn.d.Decode(&b)
	out, err := fn.w.Encode(&h, events)
	if err != nil {
		return err
	}
	emit(b.Shard, out)
	return nil
}
