package kafkaio

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/testing/harness/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestQuietPartitions: whatever a partition holds or has lost, it counts as read to
// its end when nothing is left to read. Ends were learned from fetches that hold
// records alone: one event on an empty topic was held at 1970 by all partitions
// that had none, and a partition behind whose last event a transaction ended, or
// whose records were deleted, was busy for ever. Records of transactions that somebody
// else's writer had aborted counted as events: they are not read, nor is what may still be.
func TestQuietPartitions(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(log.Close)
		quietPartitions(t, log.Brokers())
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		b, err := kafka.Start(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Kill)
		quietPartitions(t, b.Brokers())
	})
}

// What the partitions of the test are about.
const (
	neverWritten = iota
	written
	endsWithTransaction
	onlyAborted
	partlyAborted
	underWay
	deletedAll
	deletedSome
	writtenLater
	kinds
)

func quietPartitions(t *testing.T, brokers []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const topic = "quiet"
	open := fill(t, ctx, brokers, topic)
	o := Options{Brokers: brokers, Topic: topic, Job: t.Name(), Shards: 1, Lanes: 1, Partitions: kinds, MaxBatch: 100, BufferBytes: 1 << 20,
		Linger: time.Millisecond, Heartbeat: 50 * time.Millisecond, IdleAfter: 100 * time.Millisecond, Flush: time.Second}
	job := engine.New(o.Job)
	check(t, job.Open())
	t.Cleanup(func() { check(t, job.Close()) })
	records, idle, later := map[int32]int{}, map[int32]bool{}, false
	done := errors.New("done")
	err := loop(ctx, o, 0, func(b *identity.RawBatch) error {
		for _, c := range b.Chunks {
			records[c[0].Partition] += len(c)
		}
		for _, r := range b.Ranges {
			idle[r.Partition] = r.Idle > 0
		}
		for p := range int32(kinds) {
			if !idle[p] {
				return nil
			}
		}
		if later && records[writtenLater] > 0 && records[underWay] > 1 {
			return done
		}
		if later {
			return nil
		}
		later = true
		produce(t, ctx, brokers, topic, writtenLater, 1)
		if n := records[underWay]; n != 1 {
			t.Errorf("%d records of a transaction that is under way were read", n-1)
		}
		if err := open.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Error(err)
		}
		idle = map[int32]bool{}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatalf("partitions that are quiet: %v: %v", idle, err)
	}
	want := map[int32]int{written: 3, endsWithTransaction: 2, partlyAborted: 4, underWay: 3, deletedSome: 1, writtenLater: 1}
	for p := range int32(kinds) {
		if records[p] != want[p] {
			t.Errorf("partition %d gave %d records, want %d", p, records[p], want[p])
		}
	}
	for aborted, want := range map[bool]int{false: 4, true: 6} { // with them a program of before had cut its batches
		n := 0
		if err := (Log{Brokers: brokers, Topic: topic, Aborted: aborted}).ReadRange(ctx, partlyAborted, 0, 6, func(identity.Record) error { n++; return nil }); err != nil || n != want {
			t.Errorf("read again, with what was aborted: %v: %d records, %v; want %d", aborted, n, err, want)
		}
	}
	if s := StatsOf(job); len(s) != 1 || s[0].Lag != 0 {
		t.Errorf("what was read to its end has a lag: %+v", s)
	}
}

// fill returns the writer whose transaction is under way.
func fill(t *testing.T, ctx context.Context, brokers []string, topic string) *kgo.Client {
	t.Helper()
	if err := kafkalog.CreateTopic(ctx, brokers, topic, kinds); err != nil {
		t.Fatal(err)
	}
	produce(t, ctx, brokers, topic, written, 3)
	produce(t, ctx, brokers, topic, deletedAll, 3)
	produce(t, ctx, brokers, topic, deletedSome, 3)
	transaction(t, ctx, brokers, topic, endsWithTransaction, kgo.TryCommit)
	transaction(t, ctx, brokers, topic, onlyAborted, kgo.TryAbort)
	produce(t, ctx, brokers, topic, partlyAborted, 2)                // 0, 1
	transaction(t, ctx, brokers, topic, partlyAborted, kgo.TryAbort) // 2, 3, and its end
	produce(t, ctx, brokers, topic, partlyAborted, 2)                // 5, 6
	produce(t, ctx, brokers, topic, underWay, 1)
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var o kadm.Offsets
	o.AddOffset(topic, deletedAll, 3, -1)
	o.AddOffset(topic, deletedSome, 2, -1)
	if deleted, err := kadm.NewClient(cl).DeleteRecords(ctx, o); err != nil || deleted.Error() != nil {
		t.Fatal(err, deleted.Error())
	}
	return produce(t, ctx, brokers, topic, underWay, 2, kgo.TransactionalID(fmt.Sprint(topic, underWay)), kgo.TransactionTimeout(10*time.Minute))
}

func produce(t *testing.T, ctx context.Context, brokers []string, topic string, partition int32, n int, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	if len(opts) > 0 {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return cl
}

func transaction(t *testing.T, ctx context.Context, brokers []string, topic string, partition int32, end kgo.TransactionEndTry) {
	t.Helper()
	cl := produce(t, ctx, brokers, topic, partition, 2, kgo.TransactionalID(fmt.Sprint(topic, partition)))
	if err := cl.EndTransaction(ctx, end); err != nil {
		t.Fatal(err)
	}
}

// loop reads one shard without Beam and calls f for each batch until the context ends
// or f fails.
func loop(ctx context.Context, o Options, shard int, f func(*identity.RawBatch) error) error {
	fn := &readFn{Options: o}
	if err := fn.Setup(); err != nil {
		return err
	}
	rest := fn.CreateInitialRestriction(shard)
	rd, err := fn.reader(&rest)
	if err != nil {
		return err
	}
	defer rd.f.close()
	for ctx.Err() == nil {
		if !fn.await(ctx, rd, nil) {
			continue
		}
		b := fn.batch(rd, &rest)
		rest.Positions, rest.Batches = advanced(&b).positions, b.ID+1
		if err := f(&b); err != nil {
			return err
		}
	}
	return ctx.Err()
}
