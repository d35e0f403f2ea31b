// Package kafkalog runs an embedded log that speaks the Kafka protocol and
// keeps its records in a folder: kfake in this process.
package kafkalog

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/twmb/franz-go/pkg/kfake"
)

// Options say where the log keeps its records and where it listens.
type Options struct {
	Dir        string   // survives restarts; empty: records live in memory
	Port       int      // on the loopback interface; 0: any free one
	Partitions int32    // of topics that do not say; 0: 4
	SyncWrites bool     // fsync each batch, so that an acknowledged record outlives the machine
	Topics     []string // exist from the start, with Partitions partitions
	MinFree    uint64   // bytes: with less free on Dir's disk no record is taken
}

// Log is a running log of one broker.
type Log struct{ cluster *kfake.Cluster }

// Start starts a log. A topic that the folder already holds stays as it is.
//
// kfake keeps the client's record timestamps whatever the topic says of
// message.timestamp.type; producers that leave the timestamp to the client
// library send the time at which they hand the record over.
func Start(o Options) (*Log, error) {
	if o.Partitions <= 0 {
		o.Partitions = 4
	}
	opts := []kfake.Opt{
		kfake.Ports(o.Port),
		kfake.DefaultNumPartitions(int(o.Partitions)),
	}
	if o.Dir != "" {
		opts = append(opts, kfake.DataDir(o.Dir))
	}
	if o.SyncWrites {
		opts = append(opts, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded log (port %d, folder %q): %w", o.Port, o.Dir, err)
	}
	l := &Log{cluster: cluster}
	if o.Dir != "" && o.MinFree > 0 {
		l.guard(o.Dir, o.MinFree)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, topic := range o.Topics {
		if err := CreateTopic(ctx, l.Brokers(), topic, o.Partitions); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// Brokers are the addresses that clients connect to.
func (l *Log) Brokers() []string { return l.cluster.ListenAddrs() }

// Close stops the log and writes what is not yet in its folder.
func (l *Log) Close() { l.cluster.Close() }

// Retention is for how long topics that CreateTopic makes keep their records:
// raw events are personal, and a deleted person's go with it. Records wait for up
// to Roll for their segment to end, and only then does it count.
const (
	Retention = 7 * 24 * time.Hour
	Roll      = 24 * time.Hour
)

// CreateTopic creates the topic on any brokers, with Retention, and asks for
// record timestamps that are the times of the append (Apache Kafka obeys, kfake
// does not). A topic that exists stays as it is.
func CreateTopic(ctx context.Context, brokers []string, topic string, partitions int32) error {
	client, err := kafka.New(brokers) // they may be somebody's own
	if err != nil {
		return err
	}
	defer client.Close()
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	_, err = kafka.CreateTopic(ctx, client, topic, partitions,
		map[string]string{"message.timestamp.type": "LogAppendTime", "retention.ms": ms(Retention), "segment.ms": ms(Roll)})
	return err
}
