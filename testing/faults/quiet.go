package faults

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// quiet is the partition that gets no events, from the beginning or from the
// middle of a run on: a shop's visitors are not as even as hashes. Nothing may
// wait for it.
type quiet struct {
	partition int
	from      time.Time // event time
	hash      kgo.TopicPartitioner
}

func newQuiet(seed uint64, start time.Time, span time.Duration) quiet {
	rng := rand.New(rand.NewPCG(seed, 3))
	q := quiet{partition: rng.IntN(partitions), from: start, hash: kgo.StickyKeyPartitioner(nil).ForTopic(topic)} // as the collector's
	if rng.IntN(2) == 0 {
		q.from = start.Add(span / 2)
	}
	// Events that name nobody have an empty key.
	if q.of("") == q.partition {
		q.partition = (q.partition + 1) % partitions
	}
	return q
}

func (q *quiet) of(key string) int {
	return q.hash.Partition(&kgo.Record{Key: []byte(key)}, partitions)
}

// has reports whether an event with the key is not sent.
func (q *quiet) has(key string, at time.Time) bool {
	return !at.Before(q.from) && q.of(key) == q.partition
}

func (q *quiet) String() string {
	return fmt.Sprintf("partition %d gets no events of %s or later", q.partition, q.from.UTC().Format(time.TimeOnly))
}
