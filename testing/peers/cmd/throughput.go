package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/measure/usage"
	"github.com/microseg/microseg/samples/simulate"
	"github.com/microseg/microseg/testing/harness/child"
	"github.com/microseg/microseg/testing/harness/kafka"
	"github.com/microseg/microseg/testing/peers"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// bed is what the benchmark runs on.
type bed struct {
	options
	broker  *kafka.Broker
	brokers []string
	flink   *peers.Flink
	folders int
}

func measure(ctx context.Context, o options) (*result, error) {
	flink, err := peers.PrepareFlink(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	broker, err := kafka.Start(ctx, filepath.Join(o.Dir, "kafka"))
	if err != nil {
		return nil, err
	}
	defer broker.Kill()
	b := &bed{options: o, broker: broker, brokers: broker.Brokers(), flink: flink}
	r := &result{Machine: thisMachine(), Settings: o}
	if o.Only != "latency" {
		r.Throughput = map[string]*throughput{}
		for name, head := range map[string]float64{"zipf": 1, "flat_head": 100} {
			if r.Throughput[name], err = b.throughput(ctx, name, head); err != nil {
				return nil, err
			}
		}
	}
	if o.Only != "throughput" {
		if r.Latency, err = b.latencies(ctx); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// throughput runs each in turn on one topic.
func (b *bed) throughput(ctx context.Context, topic string, head float64) (*throughput, error) {
	share, err := b.preload(ctx, topic, head)
	if err != nil {
		return nil, err
	}
	t := &throughput{Visitors: fmt.Sprintf("Zipf 1.1 with a head of %v: the busiest has %.1f %% of the events", head, 100*share)}
	for i := range b.Runs {
		for _, c := range []struct {
			name string
			to   *medians
			run  func(context.Context, string) (run, error)
		}{{"plain loop", &t.Loop, b.loop}, {"flink", &t.Flink, b.flinkJob}, {"microseg", &t.Ours, b.ours}} {
			before := use(b.broker.PID())
			r, err := c.run(ctx, topic)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			r.OthersCores = before.others(use(b.broker.PID()))
			c.to.Runs = append(c.to.Runs, r)
			fmt.Fprintf(os.Stderr, "%s, run %d, %s: %.0f events/s (warm half %.0f), %.1f s of CPU per million, %.0f MB; others had %.1f cores\n",
				topic, i+1, c.name, r.EventsPerS, r.WarmHalf, r.CPUPerMillion, r.PeakRSSMB, r.OthersCores)
		}
	}
	t.finish()
	return t, b.remove(ctx, topic)
}

// preload fills a new topic; share is that of the visitor with the most events.
func (b *bed) preload(ctx context.Context, topic string, head float64) (share float64, err error) {
	if err := kafkalog.CreateTopic(ctx, b.brokers, topic, b.Partitions); err != nil {
		return 0, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchMaxBytes(900_000), kgo.MaxBufferedRecords(100_000),
		kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		return 0, fmt.Errorf("connecting to the log: %w", err)
	}
	defer cl.Close()
	count, failed := map[string]int{}, make(chan error, 1)
	load := simulate.LoadOptions{Seed: 1, Visitors: b.Visitors, Events: b.Events, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), RatePerSecond: 10_000, Zipf: 1.1, Head: head}
	err = simulate.Load(load, func(key, value []byte) error {
		count[string(key)]++
		cl.Produce(ctx, &kgo.Record{Key: bytes.Clone(key), Value: bytes.Clone(value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
		return ctx.Err()
	})
	if err == nil {
		err = cl.Flush(ctx)
	}
	select {
	case err = <-failed:
	default:
	}
	if err != nil {
		return 0, fmt.Errorf("loading the topic: %w", err)
	}
	most := 0
	for _, n := range count {
		most = max(most, n)
	}
	fmt.Fprintf(os.Stderr, "%s: loaded %d events of %d visitors\n", topic, b.Events, len(count))
	return float64(most) / float64(b.Events), nil
}

// remove deletes topics, so that the disk holds no more than one load.
func (b *bed) remove(ctx context.Context, topics ...string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...))
	if err != nil {
		return fmt.Errorf("connecting to the log: %w", err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).DeleteTopics(ctx, topics...); err != nil {
		return fmt.Errorf("deleting topics: %w", err)
	}
	return nil
}

// folder is a new one for a job's files, and a new topic for its updates.
func (b *bed) folder(ctx context.Context, name string) (dir, updates string, err error) {
	b.folders++
	updates = name + "-" + strconv.Itoa(b.folders)
	dir = filepath.Join(b.Dir, updates)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", fmt.Errorf("making a folder: %w", err)
	}
	return dir, updates, kafkalog.CreateTopic(ctx, b.brokers, updates, b.Partitions)
}

func (b *bed) loop(ctx context.Context, topic string) (run, error) {
	dir, updates, err := b.folder(ctx, "loop")
	if err != nil {
		return run{}, err
	}
	p, err := b.startLoop(dir, topic, updates, "--bounded", "--expect", strconv.Itoa(b.Events))
	return b.finished(ctx, p, err, dir, updates, "loop.log")
}

// startLoop starts the plain loop as a process.
func (b *bed) startLoop(dir, events, updates string, more ...string) (*child.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting the plain loop: %w", err)
	}
	args := append([]string{"loop", "--brokers", b.brokers[0], "--events", events, "--updates", updates}, more...)
	return child.Start(exec.Command(self, args...), filepath.Join(dir, "loop.log"))
}

func (b *bed) flinkJob(ctx context.Context, topic string) (run, error) {
	dir, updates, err := b.folder(ctx, "flink")
	if err != nil {
		return run{}, err
	}
	o := peers.Options{Brokers: b.brokers, Events: topic, Updates: updates, Bounded: true}
	p, err := b.flink.Start(dir, o, parallelism, int64(b.Events))
	return b.finished(ctx, p, err, dir, updates, "flink.log")
}

// parallelism of the Flink job, as microseg's shards: two is a slot a core on a small machine.
const parallelism = 2

// finished waits for a peer's end and reads its marks.
func (b *bed) finished(ctx context.Context, p *child.Process, err error, dir, updates, log string) (r run, _ error) {
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	if r.PeakRSSMB, err = await(ctx, p); err != nil {
		return r, err
	}
	m, err := peers.ReadMarks(filepath.Join(dir, log))
	if err != nil {
		return r, err
	}
	per := func(a, b peers.Mark) float64 { return float64(b.Records-a.Records) / (float64(b.At-a.At) / 1000) }
	r.EventsPerS, r.WarmHalf = per(m[0], m[2]), per(m[1], m[2])
	r.CPUPerMillion = float64(m[2].CPU-m[0].CPU) / 1000 / float64(m[2].Records-m[0].Records) * 1e6
	return r, b.remove(ctx, updates)
}

// await waits for a process's end, and watches its memory.
func await(ctx context.Context, p *child.Process) (peakMB float64, err error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.Exited():
			return peakMB, nil
		case <-ctx.Done():
			p.Kill()
			return 0, ctx.Err()
		case <-tick.C:
			peakMB = max(peakMB, usage.PeakMB(p.PID()))
		}
	}
}

// ours runs cmd/bench on the topic, as new.
func (b *bed) ours(ctx context.Context, topic string) (r run, err error) {
	b.folders++
	log := filepath.Join(b.Dir, fmt.Sprintf("microseg-%d.log", b.folders))
	p, err := child.Start(exec.Command(b.Bench, "--brokers", b.brokers[0], "--topic", topic, "--fresh"), log)
	if err != nil {
		return r, err
	}
	if _, err := await(ctx, p); err != nil {
		return r, err
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return r, err
	}
	var out struct {
		run
		Events int `json:"events"`
	}
	_, object, _ := bytes.Cut(text, []byte("\n{\n"))
	if err := json.Unmarshal(append([]byte("{"), object...), &out); err != nil || out.Events != b.Events {
		return r, fmt.Errorf("the benchmark measured %d of %d events: %v\n%s", out.Events, b.Events, err, p.Log())
	}
	return out.run, nil
}
