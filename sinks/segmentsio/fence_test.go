package segmentsio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/testing/harness/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func embedded(t *testing.T) []string {
	t.Helper()
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	return log.Brokers()
}

func apache(t *testing.T) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	b, err := kafka.Start(ctx, t.TempDir())
	check(t, err)
	t.Cleanup(b.Kill)
	return b.Brokers()
}

func newTopic(t *testing.T, brokers []string) Config {
	t.Helper()
	cfg := Config{Brokers: brokers, Topic: "segments", Fence: "segments-job"}
	check(t, CreateTopic(t.Context(), cfg.Brokers, cfg.Topic, 3))
	return cfg
}

// process is a writer that another one replaces, and that does not know of it.
func process(t *testing.T, cfg Config) *Writer {
	t.Helper()
	w, err := claim(t.Context(), cfg)
	check(t, err)
	t.Cleanup(func() { w.fence.end(); w.cl.Close() })
	return w
}

// told is a batch of one record; an empty value forgets the key.
func told(key, value string) []byte {
	var w codec.Writer
	segment.AppendKeyed(&w, key, []byte(value))
	return w.B
}

// read is what the topic holds, by partition and in order.
func read(t *testing.T, cfg Config) (out map[int32][]string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.ConsumeTopics(cfg.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	check(t, err)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), cfg.Topic)
	check(t, err)
	left := ends.KOffsets()[cfg.Topic]
	out = map[int32][]string{}
	next := map[int32]int64{}
	for {
		behind := false
		for p, end := range left {
			behind = behind || next[p] < end.EpochOffset().Offset
		}
		if !behind {
			return out
		}
		cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			next[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				out[r.Partition] = append(out[r.Partition], fmt.Sprintf("%s=%s", r.Key, r.Value))
			}
		})
	}
}

// TestZombieTellsNothing: a job stood still while it caught up, with records of
// what was long past about to leave: that a device had logged out, and what it
// was after that. Another one took over and went on. When the first one came back
// it published them. Readers drop what is older than what they hold, but here they
// were told to forget it first, and so showed everybody's past until the next
// change (found by testing/faults).
func TestZombieTellsNothing(t *testing.T) {
	t.Parallel()
	for log, start := range map[string]func(*testing.T) []string{"embedded": embedded, "Apache Kafka": apache} {
		t.Run(log, func(t *testing.T) {
			t.Parallel()
			cfg := newTopic(t, start(t))
			for _, half := range []bool{false, true} {
				comesBack(t, cfg, half)
			}
		})
	}
}

// comesBack has a zombie come back, half: one that had flushed nothing for good.
func comesBack(t *testing.T, cfg Config, half bool) {
	t.Helper()
	cfg.Topic = fmt.Sprint("segments-", half)
	cfg.Fence = cfg.Topic + "-job"
	check(t, CreateTopic(t.Context(), cfg.Brokers, cfg.Topic, 3))
	zombie := process(t, cfg)
	check(t, zombie.Publish(t.Context(), told("d:1", "ann's")))
	if half {
		check(t, zombie.cl.Flush(t.Context()))
	} else {
		check(t, zombie.Flush(t.Context()))
	}
	young := process(t, cfg)
	check(t, young.Publish(t.Context(), told("d:1", "now")))
	check(t, young.Flush(t.Context()))

	check(t, zombie.Publish(t.Context(), told("d:1", "")))
	check(t, zombie.Publish(t.Context(), told("d:1", "the past")))
	if err := zombie.Flush(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("the zombie publishes: %v", err)
	}
	if err := zombie.Publish(t.Context(), told("d:1", "again")); !errors.Is(err, ErrFenced) {
		t.Errorf("the zombie publishes again: %v", err)
	}
	check(t, young.Publish(t.Context(), told("d:1", "later")))
	check(t, young.Close(t.Context()))
	for _, got := range read(t, cfg) {
		if fmt.Sprint(got) != "[d:1=ann's d:1=now d:1=later]" {
			t.Errorf("readers are told %v", got)
		}
	}
}

// TestOneAfterTheOther: whoever publishes, flushes, takes over or comes back when,
// what the log takes is of one process after the other, and all of it that Flush
// was sure of.
func TestOneAfterTheOther(t *testing.T) {
	t.Parallel()
	cfg := newTopic(t, embedded(t))
	r := rand.New(rand.NewPCG(6, 9))
	var all []*Writer
	sure := map[string]bool{}
	waits := map[*Writer][]string{}
	for n := range 400 {
		if len(all) == 0 || r.IntN(40) == 0 {
			all = append(all, process(t, cfg))
		}
		i := len(all) - 1
		if r.IntN(3) == 0 {
			i = r.IntN(len(all))
		}
		w, text := all[i], fmt.Sprintf("%d-%d", i, n)
		if w.Publish(t.Context(), told(fmt.Sprint("d:", r.IntN(9)), text)) == nil {
			waits[w] = append(waits[w], text)
		}
		if r.IntN(4) > 0 {
			continue
		}
		if err := w.Flush(t.Context()); err == nil {
			for _, text := range waits[w] {
				sure[text] = true
			}
			delete(waits, w)
		} else if i == len(all)-1 || !errors.Is(err, ErrFenced) {
			t.Fatalf("process %d of %d: %v", i, len(all), err)
		}
	}
	check(t, all[len(all)-1].Close(context.Background()))
	for p, records := range read(t, cfg) {
		last := 0
		for _, rec := range records {
			var key, i, n int
			_, err := fmt.Sscanf(rec, "d:%d=%d-%d", &key, &i, &n)
			check(t, err)
			if i < last {
				t.Errorf("partition %d: process %d publishes after %d", p, i, last)
			}
			last = i
			delete(sure, fmt.Sprintf("%d-%d", i, n))
		}
	}
	if len(sure) > 0 {
		t.Errorf("the log does not have %v", sure)
	}
}
