package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/signal"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/migrations"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/transforms"
)

// job is one run of the pipeline in this process.
type job struct {
	cfg    *config.Config
	site   string
	spec   transforms.Spec
	source kafkaio.Options
	sink   clickhouseio.Config
	done   chan error
}

// newJob wires a configuration to a log, a topic and a ClickHouse, whose schema it migrates.
func newJob(ctx context.Context, cfg *config.Config, brokers []string, topic, site, dsn string) (*job, error) {
	parts, err := kafkaio.Partitions(ctx, brokers, topic)
	if err != nil {
		return nil, err
	}
	if err := migrations.Up(ctx, dsn); err != nil {
		return nil, err
	}
	j := &job{cfg: cfg, site: site, done: make(chan error, 1)}
	if j.spec, err = specOf(cfg, site, parts); err != nil {
		return nil, err
	}
	s := &cfg.Source
	j.source = kafkaio.Options{Brokers: brokers, Topic: topic, Job: j.spec.Job, Shards: j.spec.Shards, Partitions: parts, Linger: s.Linger,
		MaxBatch: s.MaxBatch, MaxInFlight: s.MaxInFlight, BufferBytes: s.BufferBytes, Heartbeat: s.Heartbeat, IdleAfter: s.IdleAfter, Flush: s.StateInterval}
	j.sink = clickhouseio.Config{DSN: dsn, Site: site, Linger: cfg.Sink.Linger, MaxRows: cfg.Sink.MaxRows, MaxPendingBytes: cfg.Sink.MaxPending, Job: uint64(j.spec.Run)}
	return j, nil
}

// specOf is what the stages need to know of a configuration.
func specOf(cfg *config.Config, site string, parts int32) (transforms.Spec, error) {
	rules, err := cfg.SignalRules()
	if err != nil {
		return transforms.Spec{}, err
	}
	shards := cfg.Source.Shards
	if shards == 0 {
		shards = runtime.NumCPU()
	}
	run := time.Now().Unix()
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	return transforms.Spec{Site: site, Job: fmt.Sprintf("%s-%d", site, run), Run: run, Shards: min(shards, int(parts)), Partitions: parts,
		Event: cfg.EventConfig(), Signals: rules, HalfLives: signal.HalfLives{Live: float64(ms(cfg.HalfLives.Live)), Long: float64(ms(cfg.HalfLives.Long))},
		Kappa: cfg.Intent.Kappa, GapMS: ms(cfg.Session.Gap), DwellCapMS: ms(cfg.Session.DwellCap), LatenessMS: ms(cfg.Lateness), RefreshMS: ms(cfg.Refresh),
		WindowMS: ms(cfg.Audience.Window), Retention: ms(cfg.Retention), Activate: cfg.Audience.Activate, Hysteresis: cfg.Audience.Hysteresis,
		MinSample: cfg.Audience.MinSample, StaleShare: cfg.Audience.StaleShare, MinWeight: cfg.Health.SignalWeight, Segments: cfg.SegmentSpecs()}, nil
}

// start runs the pipeline in the background; wait tells how it ended.
func (j *job) start(ctx context.Context) error {
	p, s := beam.NewPipelineWithRoot()
	out, err := pipelines.Live(s, j.spec, j.source)
	if err != nil {
		return err
	}
	clickhouseio.Write(s, j.sink, out)
	go func() { j.done <- pipelines.RunPrism(ctx, p) }()
	return nil
}

// stop drains the pipeline and records everything that it decided.
func (j *job) stop() error {
	kafkaio.Stop(j.spec.Job)
	err := <-j.done
	j.done <- err
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if ferr := clickhouseio.Drain(ctx); err == nil {
		err = ferr
	}
	return err
}

// drained waits until everything up to the end offsets is in ClickHouse, in both stages.
func (j *job) drained(ctx context.Context, conn driver.Conn, ends map[int32]int64) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-j.done:
			j.done <- err
			return fmt.Errorf("the pipeline ended before it was drained: %w", err)
		case <-tick.C:
		}
		ok, err := recorded(ctx, conn, j.site, ends)
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
	}
}

// recorded reports whether both stages have recorded every offset below ends.
func recorded(ctx context.Context, conn driver.Conn, site string, ends map[int32]int64) (bool, error) {
	rows, err := conn.Query(ctx, "SELECT stage, partition, argMax(offset, version) FROM progress WHERE site = ? GROUP BY stage, partition", site)
	if err != nil {
		return false, fmt.Errorf("reading the job's progress: %w", err)
	}
	defer rows.Close()
	at := map[string]int64{}
	for rows.Next() {
		var stage string
		var part int32
		var offset int64
		if err := rows.Scan(&stage, &part, &offset); err != nil {
			return false, fmt.Errorf("reading the job's progress: %w", err)
		}
		at[fmt.Sprint(stage, part)] = offset + 1
	}
	for part, end := range ends {
		if at[fmt.Sprint("device", part)] < end || at[fmt.Sprint("person", part)] < end {
			return false, rows.Err()
		}
	}
	return true, rows.Err()
}

// split cuts a comma-separated list.
func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
