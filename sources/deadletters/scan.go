package deadletters

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// scanner reads parts of a topic.
type scanner struct {
	cl     *kgo.Client
	adm    *kadm.Client
	topic  string
	starts map[int32]int64
}

func newScanner(ctx context.Context, brokers []string, topic string) (*scanner, error) {
	// Control records count, or a part that ends in them would never end.
	cl, err := kafka.New(brokers, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	s := &scanner{cl: cl, adm: kafka.Admin(cl), topic: topic}
	if s.starts, err = offsets(s.adm.ListStartOffsets(ctx, topic)); err != nil {
		cl.Close()
		return nil, fmt.Errorf("asking %v where topic %q begins: %w", brokers, topic, err)
	}
	return s, nil
}

func offsets(l kadm.ListedOffsets, err error) (map[int32]int64, error) {
	if err == nil {
		err = l.Error()
	}
	out := map[int32]int64{}
	l.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
	return out, err
}

// ends are the offsets behind the last records.
func (s *scanner) ends(ctx context.Context) (map[int32]int64, error) {
	ends, err := offsets(s.adm.ListCommittedOffsets(ctx, s.topic))
	if err != nil {
		return nil, fmt.Errorf("asking where topic %q ends: %w", s.topic, err)
	}
	return ends, nil
}

// holds is since when the topic has records, zero if it has none, and for how long
// it keeps them, 0: for ever.
func (s *scanner) holds(ctx context.Context) (since time.Time, retention time.Duration, err error) {
	ends, err := s.ends(ctx)
	if err != nil {
		return since, 0, err
	}
	first := map[int32]int64{}
	for p, start := range s.starts {
		if start < ends[p] {
			first[p] = start + 1
		}
	}
	err = s.read(ctx, s.starts, first, func(r *identity.Record) error {
		if at := time.UnixMilli(r.Append); since.IsZero() || at.Before(since) {
			since = at
		}
		return nil
	})
	if err != nil {
		return since, 0, err
	}
	configs, err := kafka.TopicSettings(ctx, s.cl, s.topic)
	if err != nil {
		return since, 0, err
	}
	if ms, err := strconv.ParseInt(configs["retention.ms"], 10, 64); err == nil && ms > 0 {
		retention = time.Duration(ms) * time.Millisecond
	}
	return since, retention, nil
}

// read calls f for the records from one offset of each partition up to another,
// which is not read.
func (s *scanner) read(ctx context.Context, from, to map[int32]int64, f func(*identity.Record) error) error {
	at, left := map[int32]kgo.Offset{}, map[int32]bool{}
	for p, end := range to {
		if from[p] < end {
			at[p], left[p] = kgo.NewOffset().At(from[p]), true
		}
	}
	if len(left) == 0 {
		return nil
	}
	s.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: at})
	defer s.cl.PurgeTopicsFromConsuming(s.topic)
	for len(left) > 0 {
		fs := s.cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			return fmt.Errorf("reading topic %q: %w", s.topic, err)
		}
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if left[r.Partition] && r.Offset < to[r.Partition] && !r.Attrs.IsControl() {
				rec := kafkaio.RecordOf(r)
				if err := f(&rec); err != nil {
					return err
				}
			}
			if r.Offset+1 >= to[r.Partition] {
				delete(left, r.Partition)
			}
		}
	}
	return nil
}
