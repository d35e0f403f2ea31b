package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Admin asks and tells the log, over the client's connections, what is about topics, offsets
// and groups.
func Admin(cl *kgo.Client) *kadm.Client { return kadm.NewClient(cl) }

// CreateTopic makes a topic with as many replicas as the brokers make by default, and
// reports whether it did: one that exists stays as it is.
func CreateTopic(ctx context.Context, cl *kgo.Client, topic string, partitions int32, settings map[string]string) (made bool, err error) {
	configs := map[string]*string{}
	for key, value := range settings {
		configs[key] = &value
	}
	_, err = Admin(cl).CreateTopic(ctx, partitions, -1, configs, topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("creating topic %q on %v: %w", topic, seeds(cl), err)
	}
	return true, nil
}

// seeds are the addresses that a client was made with.
func seeds(cl *kgo.Client) []string {
	brokers, _ := cl.OptValue(kgo.SeedBrokers).([]string)
	return brokers
}
