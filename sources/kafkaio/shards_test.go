package kafkaio

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/identity"
)

// TestEndedJobReadsNothing: the readers of a job that failed had not been told to stop, and
// went on fetching for as long as the process lived; those of another job on the same topic
// are its own.
func TestEndedJobReadsNothing(t *testing.T) {
	t.Parallel()
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	check(t, kafkalog.CreateTopic(t.Context(), log.Brokers(), "ended", 1))
	failed := errors.New("failed")
	read := func(name string) (*engine.Engine, *reader) {
		e := engine.New(name)
		check(t, e.Open())
		t.Cleanup(func() { check(t, e.Close()) })
		fn := &readFn{Options: Options{Brokers: log.Brokers(), Topic: "ended", Job: name, Shards: 1, Lanes: 1, Partitions: 1, MaxBatch: 100, BufferBytes: 1 << 20,
			Linger: time.Millisecond, Heartbeat: 10 * time.Millisecond, IdleAfter: 100 * time.Millisecond, Flush: time.Second}}
		check(t, fn.Setup())
		rest := fn.CreateInitialRestriction(0)
		rd, err := fn.reader(&rest)
		check(t, err)
		return e, rd
	}
	one, mine := read(t.Name())
	_, theirs := read(t.Name() + "-another")
	if mine == theirs {
		t.Fatal("two jobs have one reader")
	}
	check(t, one.Close())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if fs := mine.f.cl.PollFetches(ctx); !fs.IsClientClosed() {
		t.Errorf("the reader of a job that has ended fetches: %v", fs.Err())
	}
	if len(StatsOf(one)) != 0 || slices.Contains(engine.Opened(), t.Name()) {
		t.Error("it is still known")
	}
	fn := &readFn{Options: Options{Job: t.Name()}}
	var ended *engine.UnknownError
	if err := fn.Setup(); !errors.As(err, &ended) {
		t.Errorf("a source of a job that has ended is set up: %v", err)
	}
	late := &readFn{Options: Options{Brokers: log.Brokers(), Topic: "ended", Job: t.Name(), Shards: 1}, job: one, shards: shardsOf(one)}
	if _, err := late.reader(&Restriction{Positions: []Position{{}}}); !errors.As(err, &ended) {
		t.Errorf("a source that was set up before reads: %v", err)
	}
	produce(t, ctx, log.Brokers(), "ended", 0, 1)
	another := Options{Brokers: log.Brokers(), Topic: "ended", Job: t.Name() + "-another", Shards: 1, Lanes: 1, Partitions: 1, MaxBatch: 100, BufferBytes: 1 << 20,
		Linger: time.Millisecond, Heartbeat: 10 * time.Millisecond, IdleAfter: 100 * time.Millisecond, Flush: time.Second}
	err = loop(ctx, another, 0, func(b *identity.RawBatch) error {
		if b.Len() > 0 {
			return failed
		}
		return nil
	})
	if !errors.Is(err, failed) {
		t.Errorf("the other job reads nothing: %v", err)
	}
}
