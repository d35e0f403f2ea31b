package faults

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/testing/oracle"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// truth is the log as it is in the end, and what the oracle makes of it.
type truth struct {
	want     *oracle.Result
	records  int
	numbers  map[int]bool    // of the events in the log
	receipts map[string]bool // of the unlinks
	alien    int             // records that nobody sent
}

// unlinked finds the receipt of an unlink.
var unlinked = regexp.MustCompile(`^\{"type":"\$unlink",.*"messageId":"([^"]+)"`)

// numbered finds the number of an event, also in the text of a refusal.
var numbered = regexp.MustCompile(`messageId\\?":\\?"e(\d+)\\?"`)

// readTruth reads the whole log.
func readTruth(ctx context.Context, cfg *config.Config, brokers []string) (*truth, error) {
	o, err := oracle.New(cfg)
	if err != nil {
		return nil, err
	}
	t := &truth{numbers: map[int]bool{}, receipts: map[string]bool{}}
	err = readTopic(ctx, brokers, topic, func(r *kgo.Record) error {
		t.records++
		if m := unlinked.FindSubmatch(r.Value); m != nil {
			t.receipts[string(m[1])] = true
		} else if m = numbered.FindSubmatch(r.Value); m == nil {
			t.alien++
		} else if n, err := strconv.Atoi(string(m[1])); err == nil {
			t.numbers[n] = true
		}
		return o.Take(&oracle.Record{Partition: r.Partition, Offset: r.Offset, Appended: r.Timestamp.UnixMilli(), Value: r.Value, Trust: kafkaio.TrustOf(r)})
	})
	if err != nil {
		return nil, err
	}
	t.want = o.Result()
	return t, nil
}

// ends are the offsets at which the partitions of a topic end.
func ends(ctx context.Context, brokers []string, topic string) (map[int32]int64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, fmt.Errorf("connecting to the log: %w", err)
	}
	defer cl.Close()
	listed, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("finding the end of topic %s: %w", topic, err)
	}
	out := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
	return out, nil
}

// readTopic reads a topic from its beginning to its present end.
func readTopic(ctx context.Context, brokers []string, topic string, f func(*kgo.Record) error) error {
	left, err := ends(ctx, brokers, topic)
	if err != nil {
		return err
	}
	for p, end := range left {
		if end == 0 {
			delete(left, p)
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		return fmt.Errorf("connecting to the log: %w", err)
	}
	defer cl.Close()
	for len(left) > 0 {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			return fmt.Errorf("reading topic %s: %w", topic, err)
		}
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if !r.Attrs.IsControl() {
				if err := f(r); err != nil {
					return fmt.Errorf("reading %s/%d at %d: %w", topic, r.Partition, r.Offset, err)
				}
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		}
	}
	return nil
}
