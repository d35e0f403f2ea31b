package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Admin asks and tells the log, over the client's connections, what is about topics, offsets
// and groups.
func Admin(cl *kgo.Client) *kadm.Client { return kadm.NewClient(cl) }

// CreateTopic makes a topic with as many replicas as the brokers make by default, and
// reports whether it did: one that exists stays as it is. Whoever may not make topics needs no
// right to where it is there, so the log is asked for it first.
func CreateTopic(ctx context.Context, cl *kgo.Client, topic string, partitions int32, settings map[string]string) (made bool, err error) {
	if exists(ctx, cl, topic) {
		return false, nil
	}
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

// exists reports whether a topic is known to be there. It asks the log itself: kadm.ListTopics
// would let the client remember for seconds that there is none.
func exists(ctx context.Context, cl *kgo.Client, topic string) bool {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, t)
	res, err := req.RequestWith(ctx, cl)
	return err == nil && len(res.Topics) == 1 && res.Topics[0].ErrorCode == 0 && len(res.Topics[0].Partitions) > 0
}

// TopicSettings are the settings of a topic.
func TopicSettings(ctx context.Context, cl *kgo.Client, topic string) (map[string]string, error) {
	list, err := Admin(cl).DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("asking for the settings of topic %q: %w", topic, err)
	}
	out := map[string]string{}
	for _, t := range list {
		if t.Err != nil {
			return nil, fmt.Errorf("asking for the settings of topic %q: %w", topic, t.Err)
		}
		for _, c := range t.Configs {
			if c.Value != nil {
				out[c.Key] = *c.Value
			}
		}
	}
	return out, nil
}

// seeds are the addresses that a client was made with.
func seeds(cl *kgo.Client) []string {
	brokers, _ := cl.OptValue(kgo.SeedBrokers).([]string)
	return brokers
}
