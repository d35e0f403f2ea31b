package pipelines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/transforms"
)

// otherGrouping says that the changelog is of a job with other shards or
// partitions that was killed: what is behind its last snapshots must be applied
// again as it was dealt out then.
type otherGrouping struct{ was transforms.Grouping }

func (e *otherGrouping) Error() string {
	return fmt.Sprintf("the changelog is of %d shards and %d partitions, and has entries behind its last snapshots", e.was.Shards, e.was.Partitions)
}

// states are what the process before has left, dealt out to this job's shards. What
// is made of them is in the changelog before anything else.
func (j *Job) states(ctx context.Context, b *transforms.Built, log *changelogio.Log, found *changelogio.Recovery) (from []transforms.Recovered, err error) {
	for i := range found.Machines {
		from = append(from, transforms.Recovered(found.Machines[i]))
	}
	m := found.Manifest
	if m == nil {
		return from, nil
	}
	was := transforms.Grouping{Shards: (len(m.Machines) - 1) / 2, Partitions: found.Partitions}
	if was == j.Spec.Grouping() {
		return from, nil
	}
	if found.Entries > 0 {
		return nil, &otherGrouping{was}
	}
	to, err := transforms.Regroup(from, was, b)
	if errors.Is(err, transforms.ErrNotAtRest) {
		return nil, &otherGrouping{was}
	}
	if err != nil {
		return nil, fmt.Errorf("dealing the states of %d shards out to %d (--rebuild makes them anew from the log): %w", was.Shards, j.Spec.Shards, err)
	}
	for i := range to {
		w := log.Begin(ctx, i)
		if _, err = w.Write(to[i].Snapshot); err == nil {
			err = w.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("writing the states of %d shards: %w", j.Spec.Shards, err)
		}
	}
	slog.Info("the states are dealt out anew", "shards_before", was.Shards, "shards", j.Spec.Shards, "partitions_before", was.Partitions, "partitions", j.Spec.Partitions)
	return to, log.Commit(ctx, m.Offsets, time.UnixMilli(m.At))
}

// asItWas runs the job with the shards that it had until all is applied again, and
// stops it in order: its states are then those of a job at rest.
func (j *Job) asItWas(ctx context.Context, was transforms.Grouping) error {
	as := &Job{Config: j.Config, Site: j.Site, Spec: j.Spec, Source: j.Source, Sink: j.Sink, Segments: j.Segments, Look: j.Look, done: make(chan error, 1)}
	as.Spec.Shards, as.Spec.Partitions = was.Shards, was.Partitions
	as.Spec.Job += "-as-it-was"
	as.Spec.Life++
	as.Source.Job, as.Source.Shards, as.Source.Partitions = as.Spec.Job, was.Shards, was.Partitions
	as.Segments.Job, as.Sink.Job, as.Sink.Engine = as.Spec.Job, as.Spec.Life, as.Spec.Job
	slog.Info("applying again what a job with other shards had applied, as it did", "shards", was.Shards, "partitions", was.Partitions)
	if err := as.Start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case err := <-as.done:
			as.done <- err
			cancel()
		case <-ctx.Done():
		}
	}()
	err := as.CaughtUp(ctx)
	j.before = as.Recovery
	if serr := as.Stop(); serr != nil {
		return fmt.Errorf("applying again what a job with %d shards had applied: %w", was.Shards, serr)
	}
	return err
}
