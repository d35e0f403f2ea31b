package kafkaio

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/identity"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestErasures: of each device and partition the last tombstone is read, not
// those whose records the log has dropped, and a topic that is not there is an
// empty list.
func TestErasures(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log, err := kafkalog.Start(kafkalog.Options{Partitions: 2, Topics: []string{"events"}})
	check(t, err)
	t.Cleanup(log.Close)
	list, err := Erasures(ctx, log.Brokers(), "events")
	if err != nil || len(list) != 0 {
		t.Fatalf("without a topic: %v, %v", list, err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(log.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	check(t, err)
	t.Cleanup(cl.Close)
	for range 5 {
		check(t, cl.ProduceSync(ctx, &kgo.Record{Topic: "events", Partition: 1, Value: []byte("x")}).FirstErr())
	}
	drop := kadm.Offsets{}
	drop.AddOffset("events", 1, 3, -1)
	_, err = kadm.NewClient(cl).DeleteRecords(ctx, drop)
	check(t, err)

	topic := identity.ErasedTopic("events")
	check(t, kafkalog.CreateTopic(ctx, log.Brokers(), topic, 1))
	put := func(e identity.Erasure) {
		key, value := e.Record()
		check(t, cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: key, Value: value}).FirstErr())
	}
	want := []identity.Erasure{{Partition: 0, Offset: 9, Device: "b"}, {Partition: 0, Offset: 12, Device: "a"}, {Partition: 1, Offset: 4}}
	put(identity.Erasure{Partition: 0, Offset: 3, Device: "a"})
	put(identity.Erasure{Partition: 1, Offset: 2, Device: "gone"})
	for _, e := range want {
		put(e)
	}
	list, err = Erasures(ctx, log.Brokers(), "events")
	check(t, err)
	slices.SortFunc(list, func(a, b identity.Erasure) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	if !slices.Equal(list, want) {
		t.Errorf("%v, not %v", list, want)
	}
	check(t, cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("rubbish"), Value: []byte("x")}).FirstErr())
	if _, err := Erasures(ctx, log.Brokers(), "events"); err == nil || !strings.Contains(err.Error(), "nobody else may write") {
		t.Errorf("rubbish in the topic: %v", err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
