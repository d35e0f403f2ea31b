package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/embedded/stack"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/measure/usage"
	"github.com/microseg/microseg/serving/store"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/transforms"
	"github.com/twmb/franz-go/pkg/kgo"
)

// deliverResult is how long decisions take to a node, and events to a decision
// that a node knows.
type deliverResult struct {
	EventsPerS      float64   `json:"events_per_s"`
	DecidedToServed quantiles `json:"decided_to_served_ms"` // of all records
	Records         uint64    `json:"records"`
	AppendToDecided quantiles `json:"append_to_decided_ms"` // of all events
	AppendToServed  quantiles `json:"append_to_served_ms"`  // of new visitors' first events: from handing them to the log's client until the node tells of them
	Probes          uint64    `json:"probes"`
	Cores           float64   `json:"cores"` // log, producer, job and node
	ClickHouseCores float64   `json:"clickhouse_cores"`
	OtherCores      float64   `json:"others_cores"` // what else the machine was busy with
}

// benchDeliver runs a job and a node beside each other.
func benchDeliver(ctx context.Context, cfg *config.Config, dir string, rate float64, o *serveOptions) (out *deliverResult, err error) {
	st, err := stack.Start(ctx, stack.Options{Dir: dir, Clean: true, SyncWrites: o.SyncWrites, MinFree: cfg.Storage.MinFree, Messages: os.Stderr})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	brokers, topic := st.Log.Brokers(), fmt.Sprintf("%s-%.0f", benchTopic, rate)
	if err := kafkalog.CreateTopic(ctx, brokers, topic, 8); err != nil {
		return nil, err
	}
	j, err := newJob(ctx, cfg, brokers, topic, topic, st.ClickHouse.DSN())
	if err != nil {
		return nil, err
	}
	if err := j.Start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.Stop()) }()
	events := int(rate * (o.WarmUp + o.Duration).Seconds())
	sent := make(chan error, 1)
	go func() {
		sent <- produce(ctx, brokers, topic, benchOptions{Events: events, Visitors: 100_000, Rate: rate})
	}()
	d := &delivery{job: j, rate: rate, clickhouse: st.ClickHouse.PID()}
	out, err = d.measure(ctx, cfg, o)
	return out, errors.Join(err, <-sent)
}

// delivery is one measurement.
type delivery struct {
	job        *job
	rate       float64
	clickhouse int
	store      *store.Store
}

// measure watches a node that starts after the warm-up, while events come.
func (d *delivery) measure(ctx context.Context, cfg *config.Config, o *serveOptions) (*deliverResult, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(o.WarmUp):
	}
	tree, err := cfg.SegmentTree()
	if err != nil {
		return nil, err
	}
	d.store, err = store.Open(ctx, store.Config{Brokers: d.job.Source.Brokers, Topic: d.job.Segments.Topic, Tree: tree})
	if err != nil {
		return nil, err
	}
	defer d.store.Close()
	if err := d.store.Wait(ctx); err != nil {
		return nil, err
	}
	transforms.ForgetLatencies(d.job.Engine())
	own, ch, all, start := usage.CPU(), usage.CPUOf(d.clickhouse), usage.Machine(), time.Now()
	served, err := d.probe(ctx, o.Duration-o.Duration/20)
	if err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	own, ch, all = (usage.CPU()-own)/took, (usage.CPUOf(d.clickhouse)-ch)/took, (usage.Machine()-all)/took
	decided := transforms.Latencies(d.job.Engine())["refresh"]
	deliver := d.store.Deliver().Read()
	return &deliverResult{EventsPerS: d.rate, DecidedToServed: quantilesOf(deliver), Records: deliver.Count(), AppendToDecided: quantilesOf(&decided),
		AppendToServed: quantilesOf(served), Probes: served.Count(), Cores: own, ClickHouseCores: ch,
		OtherCores: max(0, all-own-ch)}, nil
}

func quantilesOf(h *latency.Histogram) quantiles {
	return quantiles{"p50": h.Quantile(.5), "p95": h.Quantile(.95), "p99": h.Quantile(.99)}
}

// probeWait is after how long a visitor of whom nothing is told is an error.
const probeWait = 10 * time.Second

// probe sends new visitors, one after the other, and waits for what the node is
// told of each.
func (d *delivery) probe(ctx context.Context, length time.Duration) (*latency.Histogram, error) {
	cl, err := kafka.New(d.job.Source.Brokers, kgo.DefaultProduceTopic(d.job.Source.Topic), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	sub := d.store.Subscribe()
	defer sub.Close()
	h := &latency.Histogram{}
	pace := time.NewTicker(17 * time.Millisecond) // not in step with any timer of the job
	defer pace.Stop()
	for i, end := 0, time.Now().Add(length); time.Now().Before(end); i++ {
		took, err := probeOnce(ctx, cl, sub, fmt.Sprintf("probe-%d", i))
		if err != nil {
			return nil, err
		}
		h.Add(float64(took)/float64(time.Millisecond), 1)
		<-pace.C
	}
	return h, nil
}

func probeOnce(ctx context.Context, cl *kgo.Client, sub *store.Subscription, id string) (time.Duration, error) {
	sub.Watch(session.PersonID(id, ""))
	select {
	case <-sub.C: // an activation
	default:
	}
	value := fmt.Appendf(nil, `{"type":"page","anonymousId":%q,"messageId":%q,"timestamp":%q,"properties":{"path":"/product/1"}}`,
		id, id, clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
	start := time.Now()
	cl.Produce(ctx, &kgo.Record{Key: []byte(id), Value: value}, nil)
	select {
	case <-sub.C:
		return time.Since(start), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(probeWait):
		return 0, fmt.Errorf("the node was not told of visitor %s within %v", id, probeWait)
	}
}
