package clickhouseio

import (
	"context"
	"fmt"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/sinks/spillio"
)

func init() {
	register.Function1x2(shardOf)
	beam.RegisterDoFn(reflect.TypeFor[writeKeyedFn]())
}

// WriteKeyed is Write in a stage of its own, keyed by shard: for runners whose
// bundles close many times a second. While an insert is under way the next
// bundle grows, so that ClickHouse sees as few inserts as it takes time for;
// rows of a shard keep their order. It takes a PCollection<rows.Batch>.
func WriteKeyed(s beam.Scope, cfg Config, col beam.PCollection) {
	s = s.Scope("clickhouseio.WriteKeyed")
	cfg.Linger, cfg.Spill = 0, spillio.Config{} // the runner repeats a bundle whose rows were refused
	if err := cfg.validate(); err != nil {
		panic(fmt.Errorf("clickhouseio.WriteKeyed: %w", err))
	}
	fn := &writeKeyedFn{Write: writeFn{Config: cfg}, Batches: state.MakeValueState[int64]("batches")}
	beam.ParDo0(s, fn, beam.ParDo(s, shardOf, col))
}

func shardOf(b rows.Batch) (int, rows.Batch) { return b.Shard, b }

// writeKeyedFn is writeFn for keyed batches. It is stateful so that a runner
// keeps the batches of a key together and in order.
type writeKeyedFn struct {
	Write   writeFn
	Batches state.Value[int64]
}

// Setup opens a writer.
func (fn *writeKeyedFn) Setup(ctx context.Context) error { return fn.Write.Setup(ctx) }

// StartBundle replaces a writer that failed.
func (fn *writeKeyedFn) StartBundle(ctx context.Context) error { return fn.Write.StartBundle(ctx) }

// ProcessElement adds a batch.
func (fn *writeKeyedFn) ProcessElement(ctx context.Context, p state.Provider, _ int, b rows.Batch) error {
	if err := fn.Write.ProcessElement(ctx, b); err != nil {
		return err
	}
	n, _, err := fn.Batches.Read(p)
	if err != nil {
		return fmt.Errorf("counting a batch: %w", err)
	}
	return fn.Batches.Write(p, n+1)
}

// FinishBundle inserts the bundle's rows.
func (fn *writeKeyedFn) FinishBundle(ctx context.Context) error { return fn.Write.FinishBundle(ctx) }

// Teardown closes the writer.
func (fn *writeKeyedFn) Teardown() error { return fn.Write.Teardown() }
