package kafkaio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Modes of source.rekey.
const (
	RekeyAuto = "auto" // where the topic needs it
	RekeyOn   = "on"
	RekeyOff  = "off"
)

// KeyedTopic is the name of the topic that has the records of a topic of events
// keyed by device, where source.rekey copies them.
func KeyedTopic(events string) string { return events + "-keyed" }

// SourceTopic is the topic that a job reads: that of events, or the one that has
// its records by device. Collectors and whoever deletes write there, too.
func SourceTopic(ctx context.Context, brokers []string, events, mode string) (string, error) {
	switch mode {
	case RekeyOn:
		return KeyedTopic(events), nil
	case RekeyOff:
		return events, nil
	}
	n, err := Partitions(ctx, brokers, KeyedTopic(events))
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return events, nil
	case err != nil:
		return "", err
	case n > 0:
		return KeyedTopic(events), nil
	}
	return events, nil
}

// OpenSource is SourceTopic for the job itself, which makes the topic where it is
// needed. known are the partitions that an earlier job has read, 0 where there was
// none; why says what was found when the records begin to be copied.
func OpenSource(ctx context.Context, brokers []string, events, mode string, known int32, cfg event.Config) (topic, why string, err error) {
	if topic, err = SourceTopic(ctx, brokers, events, mode); err != nil {
		return "", "", err
	}
	if topic == events && mode == RekeyAuto {
		if why, err = needsKeys(ctx, brokers, events, known, cfg); err != nil {
			return "", "", err
		}
		if why != "" {
			topic = KeyedTopic(events)
		}
	}
	if topic != events {
		err = createKeyed(ctx, brokers, events, topic)
	}
	return topic, why, err
}

// sampled is how many records of a partition a new job looks at.
const sampled = 200

// needsKeys says why the topic cannot be read as it is; empty: it can.
func needsKeys(ctx context.Context, brokers []string, events string, known int32, cfg event.Config) (string, error) {
	n, err := Partitions(ctx, brokers, events)
	if err != nil {
		return "", err
	}
	if known > 0 {
		if n > known {
			return fmt.Sprintf("topic %q has %d partitions and had %d: devices are in other ones since", events, n, known), nil
		}
		return "", nil
	}
	starts, ends, err := Bounds(ctx, brokers, events)
	if err != nil {
		return "", err
	}
	d, err := event.NewDecoder(cfg)
	if err != nil {
		return "", err
	}
	why := ""
	for p, start := range starts {
		end := min(ends[p], start+sampled)
		if end <= start || why != "" {
			continue
		}
		look, cancel := context.WithTimeout(ctx, sampleTimeout)
		err := (Log{Brokers: brokers, Topic: events}).ReadRange(look, p, start, end-1, func(r identity.Record) error {
			var e event.Event
			if d.Decode(r.Value, event.Unstated, r.Append, &e) == nil && e.Kind != event.KindDelete && event.Home(e.Device, n) != p {
				why = fmt.Sprintf("topic %q is not keyed by device: the record at offset %d of partition %d belongs into partition %d", events, r.Offset, p, event.Home(e.Device, n))
				return errSeen
			}
			return nil
		})
		cancel()
		if err != nil && !errors.Is(err, errSeen) && !errors.Is(err, context.DeadlineExceeded) {
			return "", err
		}
	}
	return why, ctx.Err()
}

// sampleTimeout bounds the look at a partition whose last offsets hold no records.
const sampleTimeout = 2 * time.Second

var errSeen = errors.New("seen enough")

// createKeyed makes the topic of the copies, with as many partitions as the topic of
// events has now; it keeps them when that one gets more. Copies have the times of
// their records, so that both are kept for as long.
func createKeyed(ctx context.Context, brokers []string, events, topic string) error {
	cl, err := kafka.New(brokers)
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, err := Partitions(ctx, brokers, topic); err == nil {
		return nil
	}
	n, err := Partitions(ctx, brokers, events)
	if err != nil {
		return err
	}
	described, err := kafka.TopicSettings(ctx, cl, events)
	if err != nil {
		return err // with the log's own retention it would keep the copies for less long
	}
	settings := map[string]string{"message.timestamp.type": "CreateTime"}
	for _, key := range []string{"retention.ms", "retention.bytes", "segment.ms"} {
		if value, ok := described[key]; ok {
			settings[key] = value
		}
	}
	if _, err := kafka.CreateTopic(ctx, cl, topic, n, settings); err != nil {
		return err
	}
	return known(ctx, brokers, topic)
}

// knownWithin bounds how long brokers may take to tell each other of a new topic.
const knownWithin = 10 * time.Second

// known waits until the brokers know the topic that one of them has just made: the
// next question may go to another one, which would say that there is none.
func known(ctx context.Context, brokers []string, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, knownWithin)
	defer cancel()
	for {
		_, err := Partitions(ctx, brokers, topic)
		if !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Copier names the consumer group in which the position of the copies is kept.
func Copier(keyed string) string { return keyed + "-copier" }

// Copied waits until whatever the topic of events holds now is in the topic by
// device: a tombstone that is written there then is behind it.
func Copied(ctx context.Context, brokers []string, events string) error {
	cl, err := kafka.New(brokers)
	if err != nil {
		return err
	}
	defer cl.Close()
	starts, ends, err := Bounds(ctx, brokers, events)
	if err != nil {
		return err
	}
	for {
		at, err := copiedTo(ctx, kafka.Admin(cl), events)
		if err != nil {
			return err
		}
		left := int64(0)
		for p, end := range ends {
			left += max(0, end-max(at[p], starts[p]))
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d records of topic %q are not yet copied by device; does the job run? %w", left, events, ctx.Err())
		case <-time.After(copiedPoll):
		}
	}
}

// copiedTo are the offsets behind the last records that are copied, by partition.
func copiedTo(ctx context.Context, adm *kadm.Client, events string) (map[int32]int64, error) {
	out := map[int32]int64{}
	at, err := adm.FetchOffsets(ctx, Copier(KeyedTopic(events)))
	if errors.Is(err, kerr.GroupIDNotFound) { // nobody has copied anything
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking how far topic %q is copied: %w", events, err)
	}
	for p, o := range at[events] {
		out[p] = o.At
	}
	return out, nil
}

const copiedPoll = 50 * time.Millisecond
