// Package spillio keeps rows for ClickHouse in a topic of the log, in order,
// while ClickHouse cannot take them: a queue of one writer and one reader, the
// same process, that survives both.
//
// The topic has one partition, so that a batch of progress stays behind what it
// promises. What has been inserted is committed as the offset of a group and
// then deleted. A batch that is appended or read twice does no harm: its rows
// have keys and versions.
package spillio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/microseg/microseg/rows"
)

// Config says where the topic is. It is comparable and serialised with the pipeline.
type Config struct {
	Brokers string // host:port[,host:port]
	Topic   string // made by CreateTopic
}

// Enabled reports whether there is a topic.
func (c Config) Enabled() bool { return c.Topic != "" }

// Topic is the name of the topic of spilled rows that belongs to a topic of events.
func Topic(events string) string { return events + "-spill" }

// Bounds of one record's rows (bytes, before compression) and of one record.
const (
	// RecordBytes is what a record's rows should not exceed.
	RecordBytes = 256 << 10
	// maxMessage is for the rare row that alone is larger.
	maxMessage = 4 << 20
)

// CreateTopic makes the topic. Nothing in it ends by age: rows that were dropped
// would be missing below the progress that promises them. One that exists stays
// as it is.
func CreateTopic(ctx context.Context, brokers []string, topic string) error {
	cl, err := kafka.New(brokers)
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = kafka.CreateTopic(ctx, cl, topic, 1, map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1",
		"segment.bytes": fmt.Sprint(16 << 20), "segment.ms": fmt.Sprint(time.Hour.Milliseconds()), "max.message.bytes": fmt.Sprint(maxMessage)})
	return err
}

// Record is a batch in the topic.
type Record struct {
	Offset   int64
	Appended time.Time
	Batch    rows.Batch // Shard is not kept
	Before   Totals     // of the records before it, since the topic was last empty
}

// Totals count what was appended.
type Totals struct{ Rows, Bytes uint64 }

// Range is what waits: the offsets [From, End).
type Range struct {
	From, End int64
	Oldest    time.Time // when the first of it was appended; zero: nothing waits
	Waiting   Totals
}

// Log is the topic. Append may be called beside Read and Done; neither by two
// goroutines at once.
type Log struct {
	cfg    Config
	client *kgo.Client
	admin  *kadm.Client
	totals Totals // of everything appended so far; Append's
	reader *kgo.Client
	next   int64 // of the reader
}

// Open connects to the topic. It does not wait for the log; Close it.
func Open(cfg Config) (*Log, error) {
	l := &Log{cfg: cfg}
	var err error
	// Records may be there twice, so they need no idempotence, which would keep
	// those of a log that is away from being given up.
	l.client, err = kafka.New(l.brokers(), kgo.DefaultProduceTopic(cfg.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.DisableIdempotentWrite(),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()), kgo.ProducerBatchMaxBytes(maxMessage-1<<10), kgo.ProducerLinger(0),
		kgo.RecordDeliveryTimeout(appendTimeout), kgo.ProduceRequestTimeout(appendTimeout), kgo.RequestTimeoutOverhead(time.Second))
	if err != nil {
		return nil, err
	}
	l.admin = kafka.Admin(l.client)
	return l, nil
}

func (l *Log) brokers() []string { return strings.Split(l.cfg.Brokers, ",") }

// appendTimeout is after which an append to a log that does not answer fails.
const appendTimeout = 5 * time.Second

// Close disconnects.
func (l *Log) Close() {
	l.closeReader()
	l.client.Close()
}

// Range looks at what waits; the totals of Append go on from there.
func (l *Log) Range(ctx context.Context) (Range, error) {
	r, err := l.offsets(ctx)
	if err != nil || r.From == r.End {
		return r, err
	}
	first, err := l.at(ctx, r.From)
	if err != nil {
		return r, err
	}
	last, err := l.at(ctx, r.End-1)
	if err != nil {
		return r, err
	}
	l.totals = last.after()
	r.Oldest = first.Appended
	r.Waiting = Totals{Rows: l.totals.Rows - first.Before.Rows, Bytes: l.totals.Bytes - first.Before.Bytes}
	return r, nil
}

func (r Record) after() Totals {
	return Totals{Rows: r.Before.Rows + uint64(r.Batch.Rows), Bytes: r.Before.Bytes + uint64(len(r.Batch.Data))}
}

func (l *Log) offsets(ctx context.Context) (r Range, err error) {
	start, err := one(l.admin.ListStartOffsets(ctx, l.cfg.Topic))
	if err != nil {
		return r, l.wrap("finding the start", err)
	}
	if r.End, err = one(l.admin.ListEndOffsets(ctx, l.cfg.Topic)); err != nil {
		return r, l.wrap("finding the end", err)
	}
	committed, err := l.admin.FetchOffsetsForTopics(ctx, l.group(), l.cfg.Topic)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // nothing was committed yet
		return r, l.wrap("reading the committed offset", err)
	}
	// The start moves after the commit, and a broker that crashes may forget it.
	r.From = start
	if o, ok := committed.Lookup(l.cfg.Topic, 0); ok {
		r.From = max(start, o.At)
	}
	// A topic that was made anew begins below its old commit.
	r.From = min(r.From, r.End)
	return r, nil
}

func one(offsets kadm.ListedOffsets, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	for _, partitions := range offsets {
		if o, ok := partitions[0]; ok {
			return o.Offset, o.Err
		}
	}
	return 0, kerr.UnknownTopicOrPartition
}

func (l *Log) group() string { return l.cfg.Topic }

func (l *Log) wrap(what string, err error) error {
	return fmt.Errorf("%s of topic %q: %w", what, l.cfg.Topic, err)
}

// Append adds batches and returns the offset behind them and their bytes once
// every replica in sync has them. After an error some of them may be there.
func (l *Log) Append(ctx context.Context, batches []rows.Batch) (end int64, err error) {
	records := make([]*kgo.Record, len(batches))
	totals := l.totals
	for i, b := range batches {
		r := Record{Batch: b, Before: totals}
		records[i] = &kgo.Record{Key: []byte(b.Table), Value: b.Data, Headers: []kgo.RecordHeader{{Key: headerKey, Value: r.header()}}}
		totals = r.after()
	}
	for _, res := range l.client.ProduceSync(ctx, records...) {
		if res.Err != nil {
			return 0, l.wrap("appending to the end", res.Err)
		}
		end = max(end, res.Record.Offset+1)
	}
	l.totals = totals
	return end, nil
}

// Done forgets what is below next: it has been inserted.
func (l *Log) Done(ctx context.Context, next int64) error {
	var to kadm.Offsets
	to.AddOffset(l.cfg.Topic, 0, next, -1)
	committed, err := l.admin.CommitOffsets(ctx, l.group(), to)
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return l.wrap("committing an offset", err)
	}
	deleted, err := l.admin.DeleteRecords(ctx, to)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return l.wrap("deleting the inserted records", err)
	}
	return nil
}
