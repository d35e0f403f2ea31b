package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/testing/harness/kafkalog"
	"github.com/microseg/microseg/testing/simulate"
	"github.com/microseg/microseg/transforms"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// benchOptions are the flags of bench, and the settings in its result.
type benchOptions struct {
	Events     int     `json:"events"`
	Visitors   int     `json:"visitors"`
	Rate       float64 `json:"offered_per_s"` // 0: preloaded, the producer stopped
	EventRate  float64 `json:"event_time_per_s"`
	Partitions int32   `json:"partitions"`
	Shards     int     `json:"shards"`
	NoBeam     bool    `json:"no_beam"`
	SyncWrites bool    `json:"sync_writes"`
	Brokers    string  `json:"brokers,omitempty"`
	Topic      string  `json:"topic,omitempty"`
	DSN        string  `json:"-"`
	Linger     string  `json:"linger"`
	MaxBatch   int     `json:"max_batch"`
	Cores      int     `json:"cores"`
	Profile    string  `json:"-"` // file of the CPU profile
}

// benchResult is what bench prints.
type benchResult struct {
	Events          int64                `json:"events"`
	Seconds         float64              `json:"seconds"`
	EventsPerS      float64              `json:"events_per_s"`
	CPUPerMillion   float64              `json:"cpu_s_per_million_events"` // of this process: log, job and, when producing, the producer
	AppendToDecided map[string]float64   `json:"append_to_decided_ms"`
	Stages          map[string]quantiles `json:"stages_ms"`
	PeakRSSMB       float64              `json:"peak_rss_mb"`
	Settings        benchOptions         `json:"settings"`
}

type quantiles map[string]float64

func benchCommand(cfg *string) *cobra.Command {
	o := benchOptions{Cores: runtime.NumCPU()}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure throughput and latency of the job; prints JSON",
		Long: `bench loads a topic with simulated events and measures the job that reads it.
Without --rate the topic is loaded first and the producer stops (throughput);
with --rate events are offered at that pace (latency). --no-beam runs the same
stages in a plain loop. --brokers and --topic measure an existing topic.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := config.Load(*cfg)
			if err != nil {
				return err
			}
			return runBench(c.Context(), conf, o)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Events, "events", 1_000_000, "events to load")
	f.IntVar(&o.Visitors, "visitors", 100_000, "visitors they come from")
	f.Float64Var(&o.Rate, "rate", 0, "offer events per second instead of preloading")
	f.Float64Var(&o.EventRate, "event-rate", 10_000, "events per second of event time")
	f.Int32Var(&o.Partitions, "partitions", 8, "partitions of the topic")
	f.BoolVar(&o.NoBeam, "no-beam", false, "run the domain in a plain loop, without Beam")
	f.BoolVar(&o.SyncWrites, "sync-writes", false, "the embedded log syncs every write to disk")
	f.StringVar(&o.Brokers, "brokers", "", "measure an existing topic on these brokers")
	f.StringVar(&o.Topic, "topic", "", "the existing topic")
	f.StringVar(&o.DSN, "dsn", "", "ClickHouse (default: an embedded one)")
	f.StringVar(&o.Profile, "cpuprofile", "", "write a CPU profile of the measured part to this file (go tool pprof)")
	return c
}

func runBench(ctx context.Context, cfg *config.Config, o benchOptions) error {
	if (o.Brokers == "") != (o.Topic == "") {
		return errors.New("an existing topic needs both --brokers and --topic")
	}
	dir, err := os.MkdirTemp(mustDir(filepath.Join(dataDir, "bench")), "run-")
	if err != nil {
		return fmt.Errorf("making the benchmark's folder: %w", err)
	}
	defer os.RemoveAll(dir)
	st, err := startStack(ctx, dir, 0, true, os.Stderr)
	if err != nil {
		return err
	}
	defer st.close()
	brokers, topic := split(o.Brokers), o.Topic
	if topic == "" {
		brokers, topic = st.log.Brokers(), "bench"
		if err := kafkalog.CreateTopic(ctx, brokers, topic, o.Partitions); err != nil {
			return err
		}
		if o.Rate == 0 {
			if err := preload(ctx, brokers, topic, o); err != nil {
				return err
			}
		}
	}
	dsn := o.DSN
	if dsn == "" {
		dsn = st.ch.DSN()
	}
	j, err := newJob(ctx, cfg, brokers, topic, "bench", dsn)
	if err != nil {
		return err
	}
	o.Shards, o.Linger, o.MaxBatch = j.Spec.Shards, cfg.Source.Linger.String(), cfg.Source.MaxBatch
	stop, err := startProfile(o.Profile)
	if err != nil {
		return err
	}
	defer stop()
	return j.bench(ctx, o)
}

// startProfile writes a CPU profile to path until the returned function is called.
func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("making the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("profiling: %w", err)
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

func mustDir(dir string) string {
	if os.MkdirAll(dir, 0o755) != nil {
		return os.TempDir()
	}
	return dir
}

// preload fills the topic.
func preload(ctx context.Context, brokers []string, topic string, o benchOptions) error {
	t := time.Now()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchMaxBytes(900_000), kgo.MaxBufferedRecords(200_000), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return fmt.Errorf("connecting to the log: %w", err)
	}
	defer cl.Close()
	if err := produce(ctx, cl, o, 0); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "loaded %d events (%.1f s)\n", o.Events, time.Since(t).Seconds())
	return nil
}

// produce sends simulated events, at rate events a second or as fast as it goes.
func produce(ctx context.Context, cl *kgo.Client, o benchOptions, rate float64) error {
	var failed error
	start, sent := time.Now(), 0
	eventRate := o.EventRate
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if rate > 0 {
		eventRate, at = rate, time.Now()
	}
	err := simulate.Load(simulate.LoadOptions{Seed: 1, Visitors: o.Visitors, Events: o.Events, Start: at, RatePerSecond: eventRate}, func(key, value []byte) error {
		if sent++; rate > 0 && sent%16 == 0 {
			time.Sleep(time.Until(start.Add(time.Duration(float64(sent) / rate * float64(time.Second)))))
		}
		cl.Produce(ctx, &kgo.Record{Key: append([]byte(nil), key...), Value: append([]byte(nil), value...)}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
		return ctx.Err()
	})
	if err == nil {
		err = cl.Flush(ctx)
	}
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("loading the topic: %w", err)
	}
	return nil
}

// bench runs the job until everything in the topic is recorded.
func (j *job) bench(ctx context.Context, o benchOptions) error {
	cpu, t := cpuSeconds(), time.Now()
	stop, err := j.run(ctx, o)
	if err != nil {
		return err
	}
	if o.Rate > 0 {
		cl, err := kgo.NewClient(kgo.SeedBrokers(j.Source.Brokers...), kgo.DefaultProduceTopic(j.Source.Topic), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(time.Millisecond))
		if err != nil {
			return fmt.Errorf("connecting to the log: %w", err)
		}
		defer cl.Close()
		if err := produce(ctx, cl, o, o.Rate); err != nil {
			return err
		}
	}
	ends, err := j.ends(ctx)
	if err != nil {
		return err
	}
	if err := j.Drained(ctx, ends); err != nil {
		return err
	}
	took := time.Since(t).Seconds()
	cpu = cpuSeconds() - cpu
	if err := stop(); err != nil {
		return err
	}
	return j.printBench(o, ends, took, cpu)
}

func (j *job) ends(ctx context.Context) (map[int32]int64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(j.Source.Brokers...))
	if err != nil {
		return nil, fmt.Errorf("connecting to the log: %w", err)
	}
	defer cl.Close()
	offsets, err := kadm.NewClient(cl).ListEndOffsets(ctx, j.Source.Topic)
	if err != nil {
		return nil, fmt.Errorf("asking for the topic's end: %w", err)
	}
	ends := map[int32]int64{}
	offsets.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, nil
}

func (j *job) printBench(o benchOptions, ends map[int32]int64, took, cpu float64) error {
	var n int64
	for _, e := range ends {
		n += e
	}
	r := benchResult{Events: n, Seconds: took, EventsPerS: float64(n) / took, CPUPerMillion: cpu / float64(n) * 1e6, PeakRSSMB: peakRSS(), Settings: o, Stages: map[string]quantiles{}}
	for name, h := range transforms.Latencies(j.Spec.Job) {
		if h.Count() > 0 {
			r.Stages[name] = quantiles{"p50": h.Quantile(.5), "p95": h.Quantile(.95), "p99": h.Quantile(.99)}
		}
	}
	r.AppendToDecided = r.Stages["refresh"]
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
