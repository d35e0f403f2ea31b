package kafkaio

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/mtime"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
)

func init() {
	beam.RegisterCoder(reflect.TypeFor[identity.RawBatch](), encodeBatch, identity.ReadRawBatch)
	beam.RegisterType(reflect.TypeFor[Restriction]())
	beam.RegisterDoFn(reflect.TypeFor[readFn]())
}

func encodeBatch(b identity.RawBatch) []byte {
	var w codec.Writer
	b.AppendTo(&w)
	return w.B
}

// Read reads a lane's shards of the topic from their beginning and returns a
// PCollection<identity.RawBatch>, the batches of each shard in order. Defaults
// are the configuration's; Shards, Lanes and Partitions must be set.
func Read(s beam.Scope, o Options, lane int) beam.PCollection {
	s = s.Scope("kafkaio.Read")
	var shards []int
	for shard := lane; shard < o.Shards; shard += o.Lanes {
		shards = append(shards, shard)
	}
	return beam.ParDo(s, &readFn{Options: o}, beam.Reshuffle(s, beam.CreateList(s, shards)))
}

// patience is how long a batch may be under way before the source goes on
// without it: its bundle failed, or its stage runs in another process.
const patience = 30 * time.Second

// readFn is the splittable DoFn of one shard. Each call takes one batch,
// waiting for its first record inside the element.
type readFn struct {
	Options Options

	job    *engine.Engine
	shards *shards
}

// Setup finds what the job has in this process.
func (fn *readFn) Setup() (err error) {
	if fn.job, err = engine.Of(fn.Options.Job); err == nil {
		fn.shards = shardsOf(fn.job)
	}
	return err
}

// CreateInitialRestriction starts the shard at the beginning of its partitions,
// or where Resume says. Beam calls it on an instance that it does not set up; where the
// job has ended, the one that reads says so.
func (fn *readFn) CreateInitialRestriction(shard int) Restriction {
	r := Restriction{Shard: shard}
	var at map[int32]int64
	if fn.Setup() == nil {
		if s := fn.shards.script(shard); s != nil {
			r.Batches, at = s.Next, s.Offsets
		}
	}
	for p := range fn.Options.Partitions {
		if fn.Options.Shard(p) == shard {
			r.Positions = append(r.Positions, Position{Partition: p, Next: at[p]})
		}
	}
	return r
}

// SplitRestriction does not split: a shard has one reader.
func (fn *readFn) SplitRestriction(_ int, r Restriction) []Restriction { return []Restriction{r} }

// RestrictionSize is 1 until the shard has ended.
func (fn *readFn) RestrictionSize(_ int, r Restriction) float64 {
	if r.Ended {
		return 0
	}
	return 1
}

// CreateTracker returns the tracker of a shard.
func (fn *readFn) CreateTracker(r Restriction) *sdf.LockRTracker {
	return sdf.NewLockRTracker(&tracker{rest: r})
}

// TruncateRestriction ends the shard when the job is drained.
func (fn *readFn) TruncateRestriction(rt *sdf.LockRTracker, _ int) Restriction {
	r := rt.GetRestriction().(Restriction)
	r.Ended = true
	return r
}

// reader is what a process knows of a shard beyond its restriction; all of it
// can be lost.
type reader struct {
	f         *fetcher
	busy      time.Time           // wall clock of the last record
	last      map[int32]time.Time // the same for each partition by event/clock, for idleness
	heartbeat time.Time
	flushed   time.Time
	changed   bool // records went out since the last flush
	quiet     int  // heartbeats since the last record
	clock     *clock.Forward
}

func (fn *readFn) reader(r *Restriction) (*reader, error) {
	last := map[int32]time.Time{}
	if rd := fn.shards.reader(r.Shard); rd != nil {
		if rd.f.at(r.Positions) {
			return rd, nil
		}
		last = rd.last
		fn.shards.end(r.Shard)
	}
	f, err := newFetcher(&fn.Options, r.Positions)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	rd := &reader{f: f, busy: now, last: map[int32]time.Time{}, heartbeat: now, flushed: now, clock: clock.NewForward(time.Time{})}
	if s := fn.shards.script(r.Shard); s != nil && s.Clock != nil {
		rd.clock = s.Clock
		if len(last) == 0 {
			last = s.Last
		}
	}
	for _, p := range r.Positions {
		rd.last[p.Partition] = clock.Now()
		if before, ok := last[p.Partition]; ok && before.Before(rd.last[p.Partition]) {
			rd.last[p.Partition] = before
		}
	}
	if !fn.shards.read(r.Shard, rd) {
		f.close()
		return nil, &engine.UnknownError{Name: fn.Options.Job}
	}
	return rd, nil
}

// ProcessElement emits at most one batch and resumes.
func (fn *readFn) ProcessElement(ctx context.Context, rt *sdf.LockRTracker, shard int, emit func(beam.EventTime, identity.RawBatch)) (sdf.ProcessContinuation, error) {
	rest := rt.GetRestriction().(Restriction)
	if s := fn.shards.script(shard); s != nil {
		if b, ok, err := s.next(ctx, &fn.Options); ok || err != nil {
			return fn.again(ctx, rt, &rest, &b, err, emit)
		}
	}
	rd, err := fn.reader(&rest)
	if err != nil {
		return nil, err
	}
	stop := fn.job.Stopping()
	w := fn.shards.windows.Shard(shard)
	for {
		select {
		case <-stop:
			fn.shards.end(shard)
			rt.TryClaim((*claim)(nil))
			return sdf.StopProcessing(), nil
		case <-ctx.Done(): // the run is over
			return nil, ctx.Err()
		default:
		}
		if !fn.await(ctx, rd, stop) {
			continue
		}
		if n := fn.Options.MaxInFlight; n > 0 {
			if err := w.Enter(ctx, rest.Batches, n, patience); err != nil {
				return nil, fmt.Errorf("waiting for room in shard %d: %w", shard, err)
			}
		}
		b := fn.batch(rd, &rest)
		w.Holds(rest.Batches, b.Len())
		if !rt.TryClaim(advanced(&b)) {
			w.Leave(rest.Batches)
			return sdf.StopProcessing(), nil
		}
		// Runners order what waits for a key by timestamp, and ties as they like:
		// numbered batches have numbered timestamps, so that they stay in order.
		emit(mtime.Time(rest.Batches), b)
		return sdf.ResumeProcessingIn(0), nil
	}
}

// again emits a batch of a script.
func (fn *readFn) again(ctx context.Context, rt *sdf.LockRTracker, rest *Restriction, b *identity.RawBatch, err error, emit func(beam.EventTime, identity.RawBatch)) (sdf.ProcessContinuation, error) {
	if err != nil {
		return nil, err
	}
	w := fn.shards.windows.Shard(rest.Shard)
	if n := fn.Options.MaxInFlight; n > 0 {
		if err := w.Enter(ctx, b.ID, n, patience); err != nil {
			return nil, fmt.Errorf("waiting for room in shard %d: %w", rest.Shard, err)
		}
		w.Holds(b.ID, b.Len())
	}
	if !rt.TryClaim(advanced(b)) {
		w.Leave(b.ID)
		return sdf.StopProcessing(), nil
	}
	emit(mtime.Time(b.ID), *b)
	return sdf.ResumeProcessingIn(0), nil
}

// await waits until a batch is due: records and their linger, a heartbeat, or
// a flush of what changed. false means "look again".
func (fn *readFn) await(ctx context.Context, rd *reader, stop <-chan struct{}) bool {
	if rd.f.pending() == 0 {
		due := rd.heartbeat.Add(fn.beat(rd))
		if rd.changed {
			due = rd.busy.Add(fn.Options.Flush / quietFlush)
		}
		select {
		case <-rd.f.arrived:
		case <-stop:
			return false
		case <-ctx.Done():
			return false
		case <-time.After(time.Until(due)):
			return true
		}
	}
	if n := rd.f.pending(); n == 0 {
		return false
	} else if n < fn.Options.MaxBatch {
		time.Sleep(fn.Options.Linger)
	}
	return true
}

// beat is the heartbeat of a shard: slower when nothing has come for 45 minutes,
// by when every time-driven change of a short kind has happened.
func (fn *readFn) beat(rd *reader) time.Duration {
	if time.Duration(rd.quiet)*fn.Options.Heartbeat > 45*time.Minute {
		return 30 * fn.Options.Heartbeat
	}
	return fn.Options.Heartbeat
}

func (fn *readFn) batch(rd *reader, rest *Restriction) identity.RawBatch {
	chunks, err := rd.f.take(fn.Options.MaxBatch)
	// Decisions depend on the order of partitions, and must not on that of fetches.
	slices.SortStableFunc(chunks, func(a, b []identity.Record) int { return cmp.Compare(a[0].Partition, b[0].Partition) })
	now := time.Now()
	if err != nil {
		slog.Warn("reading the log", "topic", fn.Options.Topic, "shard", rest.Shard, "err", err)
	}
	if len(chunks) > 0 {
		rd.busy, rd.changed, rd.quiet = now, true, 0
	} else {
		rd.quiet++
	}
	b := identity.RawBatch{Shard: rest.Shard, ID: rest.Batches, Chunks: chunks, Emitted: rd.clock.Now().UnixMicro(), Semantics: event.NewestSemantics}
	b.Due = rd.due(now, b.Emitted, len(chunks) == 0, fn.Options.Flush)
	rd.heartbeat = now
	last, today := map[int32]int64{}, clock.Now()
	for _, c := range chunks {
		end := c[len(c)-1]
		rd.last[end.Partition], last[end.Partition] = today, end.Offset
	}
	for _, p := range rest.Positions {
		r := identity.Range{Partition: p.Partition, Prev: p.Next - 1, First: p.Next, Last: p.Next - 1}
		if end, ok := last[p.Partition]; ok {
			r.Last = end
			if drained, _ := rd.f.quiet(p.Partition); drained {
				r.Idle = identity.ReadToEnd(fn.Options.IdleAfter)
			}
		} else {
			r.Idle = rd.idle(p.Partition, today, fn.Options.IdleAfter)
		}
		b.Ranges = append(b.Ranges, r)
	}
	return b
}

// idle is for how long (ms) a partition that was read to its end has been quiet, 0
// while it is busy and ReadToEnd in between. One of which the log holds nothing is idle from the start: on
// a young site most are, and time would not begin to pass before each had had an event.
func (rd *reader) idle(partition int32, now time.Time, after time.Duration) int64 {
	drained, blank := rd.f.quiet(partition)
	idle := now.Sub(rd.last[partition])
	switch {
	case !drained:
		return 0
	case idle < after && !blank:
		return identity.ReadToEnd(after)
	}
	return max(1, idle.Milliseconds())
}

// advanced are the positions after the batch.
func advanced(b *identity.RawBatch) *claim {
	c := &claim{batch: b.ID}
	for _, r := range b.Ranges {
		c.positions = append(c.positions, Position{Partition: r.Partition, Next: r.Last + 1})
	}
	return c
}
