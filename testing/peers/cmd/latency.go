package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/microseg/microseg/testing/harness/child"
	"github.com/microseg/microseg/testing/peers"
)

// latencies offers events at the same pace to each, in turns.
func (b *bed) latencies(ctx context.Context) (*latencies, error) {
	l := &latencies{}
	for i := range b.Runs {
		for _, c := range []struct {
			name string
			to   *offered
			run  func(context.Context, string) (latency, error)
		}{{"plain loop", &l.Loop, b.loopLatency}, {"flink", &l.Flink, b.flinkLatency}, {"microseg", &l.Ours, b.ourLatency}} {
			b.folders++
			topic := fmt.Sprintf("rate-%d", b.folders)
			if err := kafkalog.CreateTopic(ctx, b.brokers, topic, b.Partitions); err != nil {
				return nil, err
			}
			r, err := c.run(ctx, topic)
			if err != nil {
				return nil, fmt.Errorf("%s at %d events/s: %w", c.name, b.Rate, err)
			}
			c.to.Runs = append(c.to.Runs, r)
			fmt.Fprintf(os.Stderr, "%d events/s, run %d, %s: p50 %.1f, p99 %.1f ms of %d updates, %.2f cores, idle %.1f %%; others had %.1f cores\n",
				b.Rate, i+1, c.name, r.P50, r.P99, r.Updates, r.Cores, r.IdlePct, r.Others)
			if err := b.remove(ctx, topic); err != nil {
				return nil, err
			}
		}
	}
	l.finish()
	return l, nil
}

func (b *bed) loopLatency(ctx context.Context, topic string) (latency, error) {
	dir, updates, err := b.folder(ctx, "loop")
	if err != nil {
		return latency{}, err
	}
	p, err := b.startLoop(dir, topic, updates, "--quick")
	if err != nil {
		return latency{}, err
	}
	defer p.Kill()
	return b.offer(ctx, p, 0, topic, updates, readUpdate)
}

func (b *bed) flinkLatency(ctx context.Context, topic string) (latency, error) {
	dir, updates, err := b.folder(ctx, "flink")
	if err != nil {
		return latency{}, err
	}
	p, err := b.flink.Start(dir, peers.Options{Brokers: b.brokers, Events: topic, Updates: updates, Quick: true}, parallelism, 0)
	if err != nil {
		return latency{}, err
	}
	defer p.Kill()
	return b.offer(ctx, p, 0, topic, updates, readUpdate)
}

// ourLatency runs the job as it is run where Kafka and ClickHouse are given.
func (b *bed) ourLatency(ctx context.Context, topic string) (l latency, err error) {
	ch, err := clickhouse.Start(ctx, clickhouse.Options{Dir: filepath.Join(b.Dir, "clickhouse-"+topic)})
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, ch.Stop()) }()
	updates := segmentsio.Topic(topic)
	if err := segmentsio.CreateTopic(ctx, b.brokers, updates, b.Partitions); err != nil {
		return l, err
	}
	args := []string{"pipeline", "--brokers", b.brokers[0], "--dsn", ch.DSN(), "--topic", topic, "--site", "peers", "--admin-http", "127.0.0.1:0"}
	p, err := child.Start(exec.Command(b.Binary, args...), filepath.Join(b.Dir, topic+".log"))
	if err != nil {
		return l, err
	}
	l, err = b.offer(ctx, p, ch.PID(), topic, updates, readRecord)
	if serr := p.Stop(time.Minute); err == nil {
		err = serr
	}
	return l, err
}
