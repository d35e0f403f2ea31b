package clickhouseio

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/rows"
)

func init() {
	register.DoFn2x1[context.Context, rows.Batch, error](&writeFn{})
	beam.RegisterType(reflect.TypeOf((*rows.Batch)(nil)).Elem())
}

// Write writes a PCollection<rows.Batch> to the tables that the batches name,
// which the migrations must have made. Without a linger a bundle's rows are inserted when
// it ends.
//
// Batches of progress must come after what they cover: in the same bundle, or
// in a later one of the same process.
func Write(s beam.Scope, cfg Config, col beam.PCollection) {
	s = s.Scope("clickhouseio.Write")
	err := cfg.validate()
	if cfg.Linger > 0 && cfg.Engine == "" {
		err = errors.New("with a linger the bundles share a writer: name the job's engine")
	}
	if err != nil {
		panic(fmt.Errorf("clickhouseio.Write: %w", err))
	}
	beam.ParDo0(s, &writeFn{Config: cfg}, col)
}

type writeFn struct {
	Config Config

	w   *Writer
	job *engine.Engine // nil: the writer is its own
}

// Setup gets the job's writer, or one of its own without a linger: the
// bundle that fails must be the one whose rows were refused.
func (fn *writeFn) Setup(ctx context.Context) (err error) {
	if fn.Config.Linger == 0 {
		fn.w, err = Open(ctx, fn.Config)
		return err
	}
	if fn.job, err = engine.Of(fn.Config.Engine); err == nil {
		fn.w, err = Acquire(ctx, fn.job, fn.Config)
	}
	return err
}

// StartBundle replaces a writer that holds another bundle's failure or what it
// has left: that bundle will be repeated as a whole.
func (fn *writeFn) StartBundle(ctx context.Context) error {
	if fn.Config.Linger > 0 {
		return fn.w.Err()
	}
	if fn.w.Err() == nil && fn.w.Stats().PendingRows == 0 {
		return nil
	}
	fn.w.abandon()
	return fn.Setup(ctx)
}

// ProcessElement adds a batch; it blocks while too much is pending.
func (fn *writeFn) ProcessElement(ctx context.Context, b rows.Batch) error {
	return fn.w.Add(ctx, b)
}

// FinishBundle inserts the bundle's rows, or reports how earlier ones fared.
func (fn *writeFn) FinishBundle(ctx context.Context) error {
	if fn.Config.Linger > 0 {
		return fn.w.Err()
	}
	return fn.w.Flush(ctx)
}

// Teardown gives the writer back.
func (fn *writeFn) Teardown() error {
	if fn.w == nil {
		return nil
	}
	if fn.Config.Linger > 0 {
		return Release(fn.job, fn.Config, fn.w)
	}
	return fn.w.Close()
}
