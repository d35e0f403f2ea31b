package pipelines

import (
	"context"
	"log/slog"
	"time"

	"github.com/microseg/microseg/sources/kafkaio"
)

// lookEvery is how often a job looks whether its topic has got more partitions.
const lookEvery = 30 * time.Second

// Unread is how many partitions the topic has got since the job was started. It
// goes on with those that it knows: which shard has a partition, and where users
// live, is fixed with their number, and a restart takes the new ones in.
func (j *Job) Unread() int { return int(j.unread.Load()) }

// watchPartitions looks for new partitions until the context ends.
func (j *Job) watchPartitions(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n, err := kafkaio.Partitions(ctx, j.Source.Brokers, j.Source.Topic)
		if err != nil {
			continue // a log that is away is told of by those who read it
		}
		if unread := max(0, n-j.Source.Partitions); unread != j.unread.Swap(unread) && unread > 0 {
			slog.Error("the topic has got partitions that this job does not read; restart it to take them in", "topic", j.Source.Topic, "reads", j.Source.Partitions, "has", n)
		}
	}
}
