package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestFreshBench: a second benchmark of an existing topic went on from the changelog of
// the first, found nothing to do, and reported the events that it had not read. Against
// the topic of a running job it took the job over. Now it is refused, and --fresh deletes
// what belongs to this topic, and nothing else.
func TestFreshBench(t *testing.T) {
	t.Parallel()
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(log.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	for _, topic := range []string{"events", "orders"} {
		if err := kafkalog.CreateTopic(t.Context(), log.Brokers(), topic, 2); err != nil {
			t.Fatal(err)
		}
		if err := unused(t.Context(), log.Brokers(), topic, false); err != nil {
			t.Errorf("a topic that no job has read: %v", err)
		}
	}
	theirs := []string{"events-changelog", "events-keyed", "events-keyed-changelog", "events-spill", "segments"}
	others := []string{"events-2-changelog", "orders-changelog", "orders-segments"}
	for _, topic := range append(slices.Clone(theirs), others...) {
		if err := kafkalog.CreateTopic(t.Context(), log.Brokers(), topic, 1); err != nil {
			t.Fatal(err)
		}
	}
	err = unused(t.Context(), log.Brokers(), "events", false)
	if err == nil || !strings.Contains(err.Error(), strings.Join(theirs, ", ")) {
		t.Errorf("error %v, want one that names %v", err, theirs)
	}
	if err := unused(t.Context(), log.Brokers(), "events", true); err != nil {
		t.Fatal(err)
	}
	if got, want := topics(t.Context(), t, cl), append(slices.Clone(others), "events", "orders"); !slices.Equal(got, sorted(want)) {
		t.Errorf("topics %v, want %v", got, want)
	}
}

func topics(ctx context.Context, t *testing.T, cl *kgo.Client) []string {
	t.Helper()
	all, err := kadm.NewClient(cl).ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return all.Names()
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
