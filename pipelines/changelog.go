package pipelines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/transforms"
)

// Recovery is where a job went on when it started.
type Recovery struct {
	From     string        // "changelog", or why the state is made anew from the log
	Since    time.Time     // of the snapshots
	Batches  int           // applied again
	Events   int64         // in them
	Bytes    int64         // read from the changelog
	Profiles int           // in the snapshots
	Took     time.Duration // until the states were in memory

	Began map[int32]int64 // the first offset that the job reads of each partition
}

func (r *Recovery) String() string {
	if r.Since.IsZero() {
		return fmt.Sprintf("reading the log from its beginning: %s", r.From)
	}
	return fmt.Sprintf("going on from the changelog: %d profiles of %s, %d MB in %v; applying %d batches with %d events again",
		r.Profiles, r.Since.UTC().Format(time.RFC3339), r.Bytes>>20, r.Took.Round(time.Millisecond), r.Batches, r.Events)
}

// takeOver makes this process the job's: it goes on where another one was, which
// can do nothing any more that anybody sees.
func (j *Job) takeOver(ctx context.Context, e *engine.Engine) error {
	err := j.recover(ctx, e)
	if err == nil {
		j.Segments.Fence = segmentsio.Fence(j.Segments.Topic)
		err = segmentsio.Claim(ctx, e, j.Segments)
	}
	// Who stood still between the two claims has taken the segments from a process
	// that took over meanwhile.
	if err == nil {
		err = j.changelog.Owned(ctx)
	}
	if err != nil && j.changelog != nil {
		j.changelog.Close()
		j.changelog = nil
		err = errors.Join(err, segmentsio.Finish(ctx, e))
	}
	return err
}

// recover takes the job's changelog over and puts the states of the process
// that had it into this one.
func (j *Job) recover(ctx context.Context, e *engine.Engine) error {
	start := time.Now()
	starts, ends, err := kafkaio.Bounds(ctx, j.Source.Brokers, j.Source.Topic)
	if err != nil {
		return err
	}
	b, err := j.Spec.Build()
	if err != nil {
		return err
	}
	cfg := changelogio.Config{Brokers: j.Source.Brokers, Topic: changelogio.Topic(j.Source.Topic), Machines: 2*j.Spec.Shards + 1, Run: j.Spec.Run, Anew: j.Rebuild, Ends: ends,
		Partitions: j.Spec.Partitions, Pieces: transforms.ReadsPieces}
	cfg.Decides, cfg.Reading = settings(b, j.Source.Topic)
	cfg.Older = older(b, j.Source.Topic)
	log, found, err := changelogio.Open(ctx, cfg)
	if err != nil {
		return err
	}
	j.changelog = log
	j.Spec.Run = log.Run()
	b.Spec.Run = j.Spec.Run
	j.goOn(b, found.Manifest)
	from, err := j.states(ctx, b, log, found)
	if err != nil {
		return err
	}
	reader := kafkaio.Log{Brokers: j.Source.Brokers, Topic: j.Source.Topic}
	if j.local, err = transforms.NewLocal(b, reader, log, from); err != nil {
		return fmt.Errorf("reading the changelog %q (--rebuild makes the state anew from the log): %w", cfg.Topic, err)
	}
	transforms.Start(e, j.local)
	j.Recovery = Recovery{From: found.Reason, Bytes: found.Bytes, Profiles: j.local.Profiles()}
	if found.Manifest != nil {
		j.Recovery.From, j.Recovery.Since = "changelog", time.UnixMilli(found.Manifest.At)
	}
	j.Recovery.Batches, j.Recovery.Events = j.before.Batches, j.before.Events
	j.clock = j.clockAfter(found.Manifest)
	needed := map[int32]int64{}
	for shard := range j.Spec.Shards {
		offsets, next, script := j.local.Resume(shard)
		j.Recovery.add(script)
		kafkaio.Resume(e, shard, kafkaio.Resumption{Offsets: offsets, Next: next, Script: script, Clock: j.clock, Last: j.lastRecords(shard, found.Manifest, script)})
		for p, o := range offsets {
			needed[p] = o
		}
	}
	j.Recovery.Took, j.Recovery.Began = time.Since(start), maps.Clone(starts)
	maps.Copy(j.Recovery.Began, needed)
	return logHas(j.Source.Topic, needed, starts, ends)
}

// goOn makes the specification that of the job that wrote the manifest. What was
// deleted after that job had begun is no part of it: it met the tombstones
// themselves, and with the records before them left out it would have cut and
// decided otherwise.
func (j *Job) goOn(b *transforms.Built, m *changelogio.Manifest) {
	if m == nil {
		return
	}
	j.Spec.Erased = slices.DeleteFunc(j.Spec.Erased, func(e identity.Erasure) bool { return e.Offset >= m.Begun[e.Partition] })
	b.Spec.Erased = j.Spec.Erased
}

// lastRecords is when each partition of a shard had its last record, as far as the
// processes before know. The time in which there was none of them counts: a job
// that had stayed would have seen no record either.
func (j *Job) lastRecords(shard int, m *changelogio.Manifest, script []identity.RawBatch) map[int32]time.Time {
	if m == nil {
		return nil
	}
	at := time.UnixMilli(m.At)
	if n := len(script); n > 0 {
		at = time.UnixMicro(script[n-1].Emitted)
	}
	last := map[int32]time.Time{}
	for p, ms := range j.local.Quiet(shard) {
		last[p] = at.Add(-time.Duration(ms) * time.Millisecond)
	}
	return last
}

// clockAfter is a clock that goes on from those of the processes before. What
// waits for a time to pass, such as rows, would wait for this machine's clock to
// reach that of the last one, and the record stand still.
func (j *Job) clockAfter(m *changelogio.Manifest) *clock.Forward {
	var after int64 // µs
	if m != nil {
		after = (m.At + 1) * 1000
	}
	for shard := range j.Spec.Shards {
		_, _, script := j.local.Resume(shard)
		if n := len(script); n > 0 {
			after = max(after, script[n-1].Emitted)
		}
	}
	return clock.NewForward(time.UnixMicro(after))
}

func (r *Recovery) add(script []identity.RawBatch) {
	r.Batches += len(script)
	for _, b := range script {
		for _, g := range b.Ranges {
			r.Events += max(0, g.Last-g.First+1)
		}
	}
}

// logHas checks that the log goes on where the state ends. One that was made
// anew has other events at the same offsets.
func logHas(topic string, next, starts, ends map[int32]int64) error {
	for p, n := range next {
		if ends[p] < n {
			return fmt.Errorf("partition %d of topic %q ends at offset %d, and the state in its changelog goes to %d: the topic was made anew, or has lost records; start with --rebuild to make the state from what is there", p, topic, ends[p], n)
		}
		if starts[p] > n {
			slog.Error("the log no longer holds events that the job has not read: its retention is shorter than the job was away", "topic", topic, "partition", p, "first_missing", n, "first_held", starts[p])
		}
	}
	return nil
}

// keep writes snapshots until the context ends, so that a restart has little to
// apply again.
func (j *Job) keep(ctx context.Context, every time.Duration) {
	defer close(j.kept)
	tick := time.NewTicker(every)
	defer tick.Stop()
	var entries uint64
	// What was applied again goes into snapshots at once: a job that is killed again
	// before the interval is over would have more to apply each time, until it had
	// no time left for anything new.
	again := j.Recovery.Batches > 0
	for {
		if !again {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			case <-j.local.Deleted(): // what was deleted is still in the last snapshots
			}
		}
		now := j.changelog.Stats().Entries
		if now == entries && !again {
			continue
		}
		again = false
		switch err := j.Snapshot(ctx); {
		case err == nil:
			entries = now
		case ctx.Err() != nil, errors.Is(err, changelogio.ErrFenced):
			return // the stages tell of it
		default:
			j.snapshotErr.Store(&err)
			slog.Error("writing a snapshot of the state, will try again", "err", err)
		}
	}
}

// Snapshot writes the state of all shards as of now and, once everything that was
// decided before is where it belongs, makes it the place to go on from.
func (j *Job) Snapshot(ctx context.Context) error {
	offsets, err := j.local.Snapshot(ctx, j.changelog)
	if err != nil {
		return err
	}
	if err := clickhouseio.Confirm(ctx, j.Engine(), j.Sink); err != nil {
		return err
	}
	if w := segmentsio.Of(j.Engine()); w != nil {
		if err := w.Flush(ctx); err != nil {
			return err
		}
	}
	if err := j.changelog.Commit(ctx, offsets, j.clock.Now()); err != nil {
		return err
	}
	j.snapshotErr.Store(nil)
	return nil
}

// rest writes snapshots at the end of a job that was stopped: the next one has
// nothing to apply again, and may read records otherwise. It fails only where
// another process has the job.
func (j *Job) rest(ctx context.Context) error {
	if !j.local.IsCaughtUp() {
		return nil
	}
	j.local.Hurry()
	err := j.Snapshot(ctx)
	if err == nil || errors.Is(err, changelogio.ErrFenced) {
		return err
	}
	slog.Warn("no snapshot at the end; the next start applies again what came after the last one", "err", err)
	return nil
}

// Profiles is how many devices and users the states hold; 0 where a runner keeps them.
func (j *Job) Profiles() int {
	j.mu.Lock()
	local := j.local
	j.mu.Unlock()
	if local == nil {
		return 0
	}
	return local.Profiles()
}

// CaughtUp waits until the job has applied again what another had applied.
func (j *Job) CaughtUp(ctx context.Context) error { return j.local.CaughtUp(ctx) }

// Changelog is what the job's changelog has done, and why the last snapshot
// could not be written, nil if it could.
func (j *Job) Changelog() (changelogio.Stats, error) {
	j.mu.Lock()
	log := j.changelog
	j.mu.Unlock()
	if log == nil {
		return changelogio.Stats{}, nil
	}
	if err := j.snapshotErr.Load(); err != nil {
		return log.Stats(), *err
	}
	return log.Stats(), log.Err()
}
