package main

import (
	"context"
	"errors"
	"sync"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/transforms"
	"github.com/microseg/microseg/transforms/rows"
)

// run starts the job, on Beam or in a plain loop; the returned function ends it.
func (j *job) run(ctx context.Context, o benchOptions) (func() error, error) {
	if !o.NoBeam {
		return j.Stop, j.Start(ctx)
	}
	b, err := j.Spec.Build()
	if err != nil {
		return nil, err
	}
	w, err := clickhouseio.Acquire(ctx, j.Sink)
	if err != nil {
		return nil, err
	}
	loop, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	errs := make([]error, j.Spec.Shards)
	for shard := range j.Spec.Shards {
		wg.Go(func() { errs[shard] = j.plain(loop, shard, b, w) })
	}
	return func() error {
		cancel()
		wg.Wait()
		return errors.Join(append(errs, clickhouseio.Release(j.Sink, w))...)
	}, nil
}

// plain is one shard of the job in a plain loop: the same decoder, stages and
// writer, without Beam, its state or any hop. Vectors of persons of another
// shard stay here: there is no second process to keep apart.
func (j *job) plain(ctx context.Context, shard int, b *transforms.Built, w *clickhouseio.Writer) error {
	decoder, err := transforms.NewBatchDecoder(&j.Spec)
	if err != nil {
		return err
	}
	devices, err := transforms.NewDeviceStage(b, nil)
	if err != nil {
		return err
	}
	persons, ds, ps := transforms.NewPersonStage(b), transforms.NewDeviceState(b, nil), transforms.NewPersonState(b)
	var failed error
	fail := func(err error) {
		if failed == nil {
			failed = err
		}
	}
	out := transforms.Outputs{Rows: func(r rows.Batch) { fail(w.Add(ctx, r)) }}
	users := out
	out.Vectors = func(_ int, v []byte) {
		_, err := persons.Apply(ps, shard, v, users)
		fail(err)
	}
	err = kafkaio.Loop(ctx, j.Source, shard, func(raw *identity.RawBatch) error {
		h, batch := decoder.Decode(raw)
		_, err := devices.Fold(ctx, ds, &h, batch, out)
		return errors.Join(err, failed)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}
