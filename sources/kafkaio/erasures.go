package kafkaio

import (
	"context"
	"errors"
	"fmt"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/identity"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// MaxErasures bounds the list that travels with a job: about 5 MB.
const MaxErasures = 50_000

// Erasures reads what was deleted from a topic of events: for each device and
// partition the last tombstone, of those whose records the log may still hold.
func Erasures(ctx context.Context, brokers []string, events string) ([]identity.Erasure, error) {
	topic := identity.ErasedTopic(events)
	cl, err := kafka.New(brokers)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kafka.Admin(cl)
	starts, err := adm.ListStartOffsets(ctx, events)
	if err != nil {
		return nil, fmt.Errorf("asking %v where topic %q begins: %w", brokers, events, err)
	}
	last := map[string]identity.Erasure{}
	if err := readAll(ctx, cl, adm, topic, func(r *kgo.Record) error {
		e, err := identity.ReadErasure(r.Key, r.Value)
		if err != nil {
			return err
		}
		start, _ := starts.Lookup(events, e.Partition)
		if old, ok := last[string(r.Key)]; e.Offset >= start.Offset && (!ok || old.Offset < e.Offset) {
			last[string(r.Key)] = e
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("reading what was deleted from topic %q: %w", topic, err)
	}
	if len(last) > MaxErasures {
		return nil, fmt.Errorf("topic %q names %d deletions and a job takes %d: shorten retention.ms of topic %q, what the log no longer holds needs none", topic, len(last), MaxErasures, events)
	}
	list := make([]identity.Erasure, 0, len(last))
	for _, e := range last {
		list = append(list, e)
	}
	return list, nil
}

// readAll calls f for the records that a topic holds now; none where it is not there.
func readAll(ctx context.Context, cl *kgo.Client, adm *kadm.Client, topic string, f func(*kgo.Record) error) error {
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil
	}
	if err != nil {
		return err
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return err
	}
	at, left := map[int32]kgo.Offset{}, map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if s, _ := starts.Lookup(topic, o.Partition); s.Offset < o.Offset {
			at[o.Partition], left[o.Partition] = kgo.NewOffset().At(s.Offset), o.Offset
		}
	})
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: at})
	for len(left) > 0 {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			return err
		}
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if err := f(r); err != nil {
				return err
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		}
	}
	return nil
}
