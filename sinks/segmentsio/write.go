package segmentsio

import (
	"context"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/microseg/microseg/engine"
)

func init() { beam.RegisterDoFn(reflect.TypeFor[writeFn]()) }

// Write publishes a PCollection<[]byte> of batches as segment.AppendKeyed makes
// them. The order of a key is kept: it is decided in one shard, and idempotent
// producers keep the order of a partition.
func Write(s beam.Scope, cfg Config, col beam.PCollection) {
	beam.ParDo0(s.Scope("segmentsio.Write"), &writeFn{Config: cfg}, col)
}

type writeFn struct {
	Config Config
	w      *Writer
}

// Setup finds the job's writer.
func (fn *writeFn) Setup() error {
	e, err := engine.Of(fn.Config.Job)
	if err == nil {
		fn.w, err = acquire(e, fn.Config)
	}
	return err
}

// ProcessElement hands a batch to the client; it blocks while too much waits.
func (fn *writeFn) ProcessElement(ctx context.Context, batch []byte) error {
	return fn.w.Publish(ctx, batch)
}

// FinishBundle reports what failed.
func (fn *writeFn) FinishBundle(ctx context.Context) error {
	if fn.Config.Wait {
		return fn.w.Flush(ctx)
	}
	return fn.w.Err()
}
