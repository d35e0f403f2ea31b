// Package kafkaio reads a topic of the Kafka protocol as micro-batches: one
// element holds the records that one shard's partitions gave within a few
// milliseconds, or many records when there is a backlog.
package kafkaio

import (
	"context"
	"fmt"
	"time"

	"github.com/microseg/microseg/clients/kafka"
)

// Options say what to read and how to cut it. They travel with the job as JSON.
type Options struct {
	Brokers     []string
	Topic       string
	Job         string // names the job: its engine in this process
	Shards      int
	Lanes       int // Read transforms that share the shards
	Partitions  int32
	Linger      time.Duration // from the first record of a batch to its departure
	MaxBatch    int           // records
	MaxInFlight int           // batches of a shard under way in this process; 0: the runner's own back-pressure bounds them
	BufferBytes int           // of fetched, not yet taken records in this process
	Heartbeat   time.Duration // an idle shard reports the time this often
	IdleAfter   time.Duration // without records for so long, time passes by itself
	Flush       time.Duration // how long changed state waits to become rows
}

// Shard is the shard of a partition: partitions are dealt out in turn.
func (o *Options) Shard(partition int32) int { return int(partition) % o.Shards }

// Partitions asks the brokers how many partitions the topic has.
func Partitions(ctx context.Context, brokers []string, topic string) (int32, error) {
	cl, err := kafka.New(brokers)
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	ts, err := kafka.Admin(cl).ListTopics(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("asking %v for topic %q: %w", brokers, topic, err)
	}
	t := ts[topic]
	if t.Err != nil {
		return 0, fmt.Errorf("asking %v for topic %q: %w", brokers, topic, t.Err)
	}
	return int32(len(t.Partitions)), nil
}

// Bounds are the offsets at which the topic's partitions begin and end.
func Bounds(ctx context.Context, brokers []string, topic string) (starts, ends map[int32]int64, err error) {
	cl, err := kafka.New(brokers)
	if err != nil {
		return nil, nil, err
	}
	defer cl.Close()
	if starts, ends, err = bounds(ctx, kafka.Admin(cl).ListStartOffsets, kafka.Admin(cl).ListEndOffsets, topic); err != nil {
		return nil, nil, fmt.Errorf("asking %v: %w", brokers, err)
	}
	return starts, ends, nil
}
