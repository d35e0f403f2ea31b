package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/embedded/stack"
	"github.com/microseg/microseg/measure/usage"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/samples/simulate"
	"github.com/microseg/microseg/transforms"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// benchOptions are the flags of bench, and the settings in its result.
type benchOptions struct {
	Events     int           `json:"events"`
	Visitors   int           `json:"visitors"`
	Identified float64       `json:"identified"`    // share of the visitors whose events carry a userId
	Rate       float64       `json:"offered_per_s"` // 0: preloaded, the producer stopped
	EventRate  float64       `json:"event_time_per_s"`
	Partitions int32         `json:"partitions"`
	Shards     int           `json:"shards"`
	Runner     string        `json:"runner"`
	SyncWrites bool          `json:"sync_writes"`
	Brokers    string        `json:"brokers,omitempty"`
	Topic      string        `json:"topic,omitempty"`
	Fresh      bool          `json:"fresh,omitempty"` // delete what earlier jobs on the existing topic have left
	DSN        string        `json:"-"`
	Linger     string        `json:"linger"`
	MaxBatch   int           `json:"max_batch"`
	Cores      int           `json:"cores"`
	History    time.Duration `json:"-"`
	HistoryS   float64       `json:"history_s"` // of event time at the offered rate, read before the measurement
	WarmUp     time.Duration `json:"-"`
	WarmUpS    float64       `json:"warm_up_s"` // not in the latencies
	Snapshots  time.Duration `json:"-"`
	SnapshotsS float64       `json:"snapshot_interval_s"`
	Idle       time.Duration `json:"-"`
	Start      time.Time     `json:"-"` // of event time; zero: a fixed day
	Profile    string        `json:"-"` // file of the CPU profile
	HeapFile   string        `json:"-"` // file of the heap profile
}

// benchResult is what bench prints.
type benchResult struct {
	Events          int64                `json:"events"`
	Began           map[int32]int64      `json:"began_at_offset"` // by partition
	BeganFrom       string               `json:"began_from"`      // the changelog, or why at the topic's start
	Seconds         float64              `json:"seconds"`         // from the job's start to the last row's confirmation
	EventsPerS      float64              `json:"events_per_s"`
	CPUPerMillion   float64              `json:"cpu_s_per_million_events"`            // of this process: log, job and, when producing, the producer
	CHPerMillion    float64              `json:"clickhouse_cpu_s_per_million_events"` // of the embedded ClickHouse
	AppendToDecided quantiles            `json:"append_to_decided_ms"`
	Stages          map[string]quantiles `json:"stages_ms"`
	PeakRSSMB       float64              `json:"peak_rss_mb"`
	RSSMB           []float64            `json:"rss_mb_by_minute"`
	Snapshots       uint64               `json:"snapshots"`      // of all shards, that were written
	SnapshotBytes   int64                `json:"snapshot_bytes"` // of the last
	Profiles        int                  `json:"profiles"`
	Idle            *idleResult          `json:"idle,omitempty"`
	Settings        benchOptions         `json:"settings"`
}

// idleResult is what the process and its ClickHouse use while nothing comes.
type idleResult struct {
	Seconds           float64 `json:"seconds"`
	CPUPercent        float64 `json:"cpu_percent"` // of one core
	ClickHousePercent float64 `json:"clickhouse_cpu_percent"`
}

type quantiles map[string]float64

func benchCommand(cfg *string) *cobra.Command {
	o := benchOptions{Cores: runtime.NumCPU()}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure throughput and latency of the job; prints JSON",
		Long: `bench loads a topic with simulated events and measures the job that reads it.
Without --rate the topic is loaded first and the producer stops (throughput);
with --rate events are offered at that pace (latency). --brokers and --topic
measure an existing topic that no other job reads; --fresh first deletes the topics
in which jobs on it keep their state (<topic>-changelog, -segments, -spill, -keyed).
The result says from which offsets the job began. --idle adds what an idle job costs.
"bench profiles" measures memory, "bench serve" serving nodes, "bench recover" a restart;
"./run.sh bench peers" runs the job beside others of its kind.`,
		Example: "  ./run.sh bench --events 3000000\n  ./run.sh bench --rate 10000 --events 600000 --idle 30s\n  ./run.sh bench --brokers localhost:9092 --topic copy-of-events --fresh --cpuprofile cpu.pprof",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := config.LoadDemo(*cfg)
			if err != nil {
				return err
			}
			return runBench(c.Context(), conf, o)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Events, "events", 1_000_000, "events to load")
	f.IntVar(&o.Visitors, "visitors", 100_000, "visitors they come from")
	f.Float64Var(&o.Identified, "identified", 0, "share of the visitors whose events carry a userId, 0 to 1")
	f.Float64Var(&o.Rate, "rate", 0, "offer events per second instead of preloading")
	f.Float64Var(&o.EventRate, "event-rate", 10_000, "events per second of event time")
	f.Int32Var(&o.Partitions, "partitions", 8, "partitions of the topic")
	f.StringVar(&o.Runner, "runner", pipelines.LocalRunner, "Beam runner: local or prism")
	f.BoolVar(&o.SyncWrites, "sync-writes", false, "the embedded log syncs every write to disk")
	f.StringVar(&o.Brokers, "brokers", "", "measure an existing topic on these brokers")
	f.StringVar(&o.Topic, "topic", "", "the existing topic")
	f.BoolVar(&o.Fresh, "fresh", false, "delete what earlier jobs on the existing topic have left, and begin at its start")
	f.StringVar(&o.DSN, "dsn", "", "ClickHouse (default: an embedded one)")
	f.DurationVar(&o.History, "history", 0, "with --rate: first read so much event time of history, so that memory is at its level")
	f.DurationVar(&o.WarmUp, "warm-up", 3*time.Second, "leave the first events of a run with --rate out of the latencies")
	f.DurationVar(&o.Snapshots, "snapshot-interval", 0, "between snapshots of the state (default: the configuration's)")
	f.DurationVar(&o.Idle, "idle", 0, "then watch for so long what an idle job costs")
	f.StringVar(&o.Profile, "cpuprofile", "", "write a CPU profile of the measured part to this file (go tool pprof)")
	f.StringVar(&o.HeapFile, "memprofile", "", "write a heap profile, taken before the job stops, to this file")
	c.AddCommand(profilesCommand(cfg), serveBenchCommand(cfg), recoverBenchCommand(cfg))
	return c
}

func runBench(ctx context.Context, cfg *config.Config, o benchOptions) error {
	if (o.Brokers == "") != (o.Topic == "") {
		return errors.New("an existing topic needs both --brokers and --topic")
	}
	if o.Fresh && o.Topic == "" {
		return errors.New("--fresh is for an existing topic (--brokers and --topic): a topic of the benchmark's own is always new")
	}
	dir, err := os.MkdirTemp(mustDir(filepath.Join(stack.Home, "bench")), "run-")
	if err != nil {
		return fmt.Errorf("making the benchmark's folder: %w", err)
	}
	defer os.RemoveAll(dir)
	st, err := stack.Start(ctx, stack.Options{Dir: dir, Clean: true, SyncWrites: o.SyncWrites, MinFree: cfg.Storage.MinFree, Messages: os.Stderr, NoLog: o.Brokers != "", DSN: o.DSN})
	if err != nil {
		return err
	}
	defer st.Close()
	brokers, topic := cli.Split(o.Brokers), o.Topic
	if topic != "" {
		if err := unused(ctx, brokers, topic, o.Fresh); err != nil {
			return err
		}
	} else {
		brokers, topic = st.Log.Brokers(), "bench"
		if err := kafkalog.CreateTopic(ctx, brokers, topic, o.Partitions); err != nil {
			return err
		}
		if o.Rate == 0 || o.History > 0 {
			if err := preload(ctx, brokers, topic, o.preload()); err != nil {
				return err
			}
		}
	}
	// A ClickHouse that has seen a benchmark before holds its rows, and would count as done.
	j, err := newJob(ctx, cfg, brokers, topic, fmt.Sprintf("bench-%d", time.Now().UnixMilli()), st.ClickHouse.DSN())
	if err != nil {
		return err
	}
	if o.Snapshots > 0 {
		cfg.Source.SnapshotInterval = o.Snapshots
	}
	j.Runner = o.Runner
	o.SnapshotsS = cfg.Source.SnapshotInterval.Seconds()
	o.Shards, o.Linger, o.MaxBatch, o.WarmUpS, o.HistoryS = j.Spec.Shards, cfg.Source.Linger.String(), cfg.Source.MaxBatch, o.WarmUp.Seconds(), o.History.Seconds()
	stop, err := usage.StartProfile(o.Profile)
	if err != nil {
		return err
	}
	defer stop()
	return j.bench(ctx, st.ClickHouse.PID(), o)
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
	if err := produce(ctx, brokers, topic, o); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "loaded %d events (%.1f s)\n", o.Events, time.Since(t).Seconds())
	return nil
}

// preload are the options of what is in the topic before the job starts.
func (o benchOptions) preload() benchOptions {
	if o.Rate > 0 {
		o.Events, o.EventRate = int(o.Rate*o.History.Seconds()), o.Rate
		o.Start = time.Now().Add(-o.History)
	}
	o.Rate = 0
	return o
}

// produce sends simulated events, at o.Rate events a second or as fast as it goes.
func produce(ctx context.Context, brokers []string, topic string, o benchOptions) error {
	opts := []kgo.Opt{kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil))}
	load := simulate.LoadOptions{Seed: 1, Visitors: o.Visitors, Identified: o.Identified, Events: o.Events, Start: o.Start, RatePerSecond: o.EventRate}
	if load.Start.IsZero() {
		load.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Rate > 0 {
		opts = append(opts, kgo.ProducerLinger(time.Millisecond))
		load.Seed, load.Start, load.RatePerSecond = 2, time.Now(), o.Rate
	} else {
		opts = append(opts, kgo.ProducerBatchMaxBytes(900_000), kgo.MaxBufferedRecords(200_000), kgo.ProducerLinger(5*time.Millisecond))
	}
	cl, err := kafka.New(brokers, opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	var failed error
	start, sent := time.Now(), 0
	err = simulate.Load(load, func(key, value []byte) error {
		if sent++; o.Rate > 0 && sent%16 == 0 {
			time.Sleep(time.Until(start.Add(time.Duration(float64(sent) / o.Rate * float64(time.Second)))))
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
func (j *job) bench(ctx context.Context, clickhouse int, o benchOptions) error {
	m := startMeter(clickhouse)
	if err := j.Start(ctx); err != nil {
		return err
	}
	var before int64
	var err error
	if o.History > 0 {
		if before, err = j.drain(ctx); err != nil {
			return err
		}
		m = startMeter(clickhouse)
	}
	rss := sampleRSS(ctx, time.Minute)
	if o.Rate > 0 {
		warm := time.AfterFunc(o.WarmUp, func() { transforms.ForgetLatencies(j.Engine()) })
		defer warm.Stop()
		if err := produce(ctx, j.Source.Brokers, j.Source.Topic, o); err != nil {
			return err
		}
	}
	n, err := j.drain(ctx)
	if err != nil {
		return err
	}
	r := m.result(n - before)
	r.RSSMB, r.Settings = rss(), o
	r.Began, r.BeganFrom = j.Recovery.Began, j.Recovery.From
	if o.Idle > 0 {
		r.Idle = watchIdle(ctx, clickhouse, o.Idle)
	}
	if err := usage.WriteHeap(o.HeapFile); err != nil {
		return err
	}
	if err := j.Stop(); err != nil {
		return err
	}
	return j.printBench(r)
}

// drain waits until everything in the topic is recorded, and counts what the job read of it.
func (j *job) drain(ctx context.Context) (n int64, err error) {
	ends, err := j.ends(ctx)
	if err != nil {
		return 0, err
	}
	for p, e := range ends {
		n += e - j.Recovery.Began[p]
	}
	return n, j.Drained(ctx, ends)
}

// meter measures from its start on.
type meter struct {
	start      time.Time
	cpu, chCPU float64
	clickhouse int
}

func startMeter(clickhouse int) *meter {
	return &meter{start: time.Now(), cpu: usage.CPU(), chCPU: usage.CPUOf(clickhouse), clickhouse: clickhouse}
}

func (m *meter) result(n int64) *benchResult {
	took := time.Since(m.start).Seconds()
	return &benchResult{Events: n, Seconds: took, EventsPerS: float64(n) / took, CPUPerMillion: (usage.CPU() - m.cpu) / float64(n) * 1e6,
		CHPerMillion: (usage.CPUOf(m.clickhouse) - m.chCPU) / float64(n) * 1e6}
}

// watchIdle measures the CPU that the stack uses while nothing comes. The first
// seconds, in which partitions become idle, do not count.
func watchIdle(ctx context.Context, clickhouse int, d time.Duration) *idleResult {
	const settle = 5 * time.Second
	select {
	case <-ctx.Done():
	case <-time.After(settle):
	}
	cpu, ch, t := usage.CPU(), usage.CPUOf(clickhouse), time.Now()
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	s := time.Since(t).Seconds()
	return &idleResult{Seconds: s, CPUPercent: 100 * (usage.CPU() - cpu) / s, ClickHousePercent: 100 * (usage.CPUOf(clickhouse) - ch) / s}
}

func (j *job) ends(ctx context.Context) (map[int32]int64, error) {
	cl, err := kafka.New(j.Source.Brokers)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	offsets, err := kafka.Admin(cl).ListEndOffsets(ctx, j.Source.Topic)
	if err != nil {
		return nil, fmt.Errorf("asking for the topic's end: %w", err)
	}
	ends := map[int32]int64{}
	offsets.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, nil
}

func (j *job) printBench(r *benchResult) error {
	r.PeakRSSMB, r.Stages = usage.PeakMB(os.Getpid()), map[string]quantiles{}
	for name, h := range transforms.Latencies(j.Engine()) {
		if h.Count() > 0 {
			r.Stages[name] = quantiles{"p50": h.Quantile(.5), "p95": h.Quantile(.95), "p99": h.Quantile(.99)}
		}
	}
	r.AppendToDecided = r.Stages["refresh"]
	stats, _ := j.Changelog()
	r.Snapshots, r.SnapshotBytes, r.Profiles = stats.Rounds, stats.SnapshotBytes, j.Profiles()
	return cli.PrintJSON(os.Stdout, r)
}
