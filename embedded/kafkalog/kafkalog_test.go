package kafkalog

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRestartKeepsRecords: what was acknowledged is there after a restart, at
// the same offsets and with the time at which it was sent.
func TestRestartKeepsRecords(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	o := Options{Dir: t.TempDir(), Partitions: 2, SyncWrites: true, Topics: []string{"events"}}
	before := time.Now().Add(-time.Second)

	first := start(t, o)
	produce(ctx, t, first, 0, 10)
	first.Close()
	second := start(t, o)
	produce(ctx, t, second, 10, 20)

	for i, r := range consume(ctx, t, second, 20) {
		if want := fmt.Sprint("r", i); string(r.Value) != want || r.Offset != int64(i) {
			t.Errorf("record %d is %q at offset %d, want %q", i, r.Value, r.Offset, want)
		}
		if r.Timestamp.Before(before) {
			t.Errorf("record %d has timestamp %v, want the time at which it was sent", i, r.Timestamp)
		}
	}
	if err := CreateTopic(ctx, second.Brokers(), "events", 2); err != nil {
		t.Errorf("creating a topic that exists: %v", err)
	}
}

func start(t *testing.T, o Options) *Log {
	t.Helper()
	l, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// produce appends the records r<from> to r<to-1> to partition 1.
func produce(ctx context.Context, t *testing.T, l *Log, from, to int) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(l.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := from; i < to; i++ {
		r := &kgo.Record{Topic: "events", Partition: 1, Value: fmt.Append(nil, "r", i)}
		if err := c.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func consume(ctx context.Context, t *testing.T, l *Log, n int) (out []*kgo.Record) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(l.Brokers()...), kgo.ConsumeTopics("events"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for len(out) < n {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}
