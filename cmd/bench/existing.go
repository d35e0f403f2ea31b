package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/microseg/microseg/sinks/spillio"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/twmb/franz-go/pkg/kadm"
)

// unused makes sure that a job on an existing topic begins at the topic's start: with the
// state of a job before it would measure what that one has left to do, and stop it if it
// still runs. With fresh, what jobs on the topic have left is deleted; else it is an error.
func unused(ctx context.Context, brokers []string, topic string, fresh bool) error {
	cl, err := kafka.New(brokers)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kafka.Admin(cl)
	left, err := leftBy(ctx, adm, topic)
	if err != nil || len(left) == 0 {
		return err
	}
	if !fresh {
		return fmt.Errorf("a job has read the topic %q before, and its state is in the topics %s: a benchmark would go on where that job was, and take "+
			"the topic from it. Measure a copy of the topic, or, if nobody needs that state, let --fresh delete these topics", topic, strings.Join(left, ", "))
	}
	gone, err := adm.DeleteTopics(ctx, left...)
	if err == nil {
		err = gone.Error()
	}
	if err != nil {
		return fmt.Errorf("deleting %s: %w", strings.Join(left, ", "), err)
	}
	for len(left) > 0 { // brokers take a moment to delete
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if left, err = leftBy(ctx, adm, topic); err != nil {
			return err
		}
	}
	return nil
}

// leftBy lists the topics in which jobs on the topic keep their state.
func leftBy(ctx context.Context, adm *kadm.Client, topic string) (out []string, err error) {
	all, err := adm.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for the topics: %w", err)
	}
	for _, base := range []string{topic, kafkaio.KeyedTopic(topic)} {
		for _, t := range []string{changelogio.Topic(base), segmentsio.Topic(base), spillio.Topic(base)} {
			if all.Has(t) {
				out = append(out, t)
			}
		}
	}
	if k := kafkaio.KeyedTopic(topic); all.Has(k) {
		out = append(out, k)
	}
	slices.Sort(out)
	return out, nil
}
