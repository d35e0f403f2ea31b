package kafkaio

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/identity"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestReadRange: a range is read again whose last records retention has deleted, that
// ends with the end of a transaction, or that the log has lost. The restart waited for a
// record that would never come, and said nothing: no health, no error, no decision.
func TestReadRange(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	const topic = "again"
	const whole, deleted, halfDeleted, marked = 0, 1, 2, 3
	check(t, kafkalog.CreateTopic(ctx, log.Brokers(), topic, 4))
	for p := range int32(3) {
		produce(t, ctx, log.Brokers(), topic, p, 3)
	}
	transaction(t, ctx, log.Brokers(), topic, marked, kgo.TryCommit)
	cl, err := kgo.NewClient(kgo.SeedBrokers(log.Brokers()...))
	check(t, err)
	t.Cleanup(cl.Close)
	var o kadm.Offsets
	o.AddOffset(topic, deleted, 3, -1)
	o.AddOffset(topic, halfDeleted, 2, -1)
	gone, err := kadm.NewClient(cl).DeleteRecords(ctx, o)
	check(t, errors.Join(err, gone.Error()))
	for _, c := range []struct {
		partition   int32
		first, last int64
		records     int
		end         int64 // of a log that has lost records
	}{
		{whole, 0, 2, 3, 0},
		{whole, 1, 1, 1, 0},
		{whole, 0, 5, 3, 3}, // offsets 3 to 5 were there once
		{deleted, 0, 2, 0, 0},
		{deleted, 0, 7, 0, 3},
		{halfDeleted, 0, 2, 1, 0},
		{halfDeleted, 0, 1, 0, 0},
		{marked, 0, 2, 2, 0}, // the marker is the last one
	} {
		n := 0
		err := Log{Brokers: log.Brokers(), Topic: topic}.ReadRange(ctx, c.partition, c.first, c.last, func(identity.Record) error { n++; return nil })
		var lost *LostError
		switch {
		case n != c.records:
			t.Errorf("%+v: %d records", c, n)
		case c.end == 0 && err != nil:
			t.Errorf("%+v: %v", c, err)
		case c.end > 0 && (!errors.As(err, &lost) || lost.End != c.end || lost.Last != c.last):
			t.Errorf("%+v: %v", c, err)
		}
	}
}
