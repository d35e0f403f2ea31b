package kafkalog

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestNearlyFullDisk: records are refused with an error that clients retry, each
// partition's; what is there can be read, and topics can be made.
func TestNearlyFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, err := Start(Options{Dir: dir, Topics: []string{"events"}})
	if err != nil {
		t.Fatal(err)
	}
	client := func(l *Log) *kgo.Client {
		c, err := kgo.NewClient(kgo.SeedBrokers(l.Brokers()...), kgo.DefaultProduceTopic("events"), kgo.DisableIdempotentWrite(),
			kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordRetries(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	if err := client(log).ProduceSync(t.Context(), kgo.StringRecord("before")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	log.Close()
	if log, err = Start(Options{Dir: dir, MinFree: 1 << 62, Topics: []string{"another"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	c := client(log)
	if err := c.ProduceSync(t.Context(), kgo.StringRecord("refused")).FirstErr(); !errors.Is(err, kerr.KafkaStorageError) || !kerr.IsRetriable(kerr.KafkaStorageError) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if rs := c.PollFetches(ctx).Records(); len(rs) != 1 || string(rs[0].Value) != "before" {
		t.Errorf("%d records", len(rs))
	}
}
