package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/embedded/stack"
	"github.com/microseg/microseg/measure/usage"
	"github.com/spf13/cobra"
)

// recoverOptions are the settings of a measured restart.
type recoverOptions struct {
	Profiles int `json:"profiles"`
	Since    int `json:"events_since"`
	Cores    int `json:"cores"`
}

// recoverResult is how long a restart takes, and what a snapshot costs.
type recoverResult struct {
	Profiles      int            `json:"profiles"` // devices and users that were in the snapshot
	SnapshotBytes int64          `json:"snapshot_bytes"`
	SnapshotS     float64        `json:"snapshot_s"`
	SnapshotCPUS  float64        `json:"snapshot_cpu_s"` // of the whole process meanwhile, which has nothing else to do
	LoadS         float64        `json:"load_s"`         // until the states were in memory
	RecoveryS     float64        `json:"recovery_s"`     // until all that came since the snapshot was applied again
	EventsAgain   int64          `json:"events_again"`
	PeakRSSMB     float64        `json:"peak_rss_mb"`
	Settings      recoverOptions `json:"settings"`
}

func recoverBenchCommand(cfg *string) *cobra.Command {
	o := recoverOptions{Cores: runtime.NumCPU()}
	c := &cobra.Command{
		Use:   "recover",
		Short: "Measure a restart from the changelog; prints JSON",
		Long: `recover loads a job with visitors, has it write a snapshot, gives it more events, and
starts another job, which goes on from the snapshot and applies those events again.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := config.LoadDemo(*cfg)
			if err != nil {
				return err
			}
			return runBenchRecover(c.Context(), conf, o)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Profiles, "profiles", 1_000_000, "visitors, with three events each on average")
	f.IntVar(&o.Since, "since", 300_000, "events after the snapshot")
	return c
}

func runBenchRecover(ctx context.Context, cfg *config.Config, o recoverOptions) error {
	dir, err := os.MkdirTemp(mustDir(filepath.Join(stack.Home, "bench")), "run-")
	if err != nil {
		return fmt.Errorf("making the benchmark's folder: %w", err)
	}
	defer os.RemoveAll(dir)
	st, err := stack.Start(ctx, stack.Options{Dir: dir, Clean: true, MinFree: cfg.Storage.MinFree, Messages: os.Stderr})
	if err != nil {
		return err
	}
	defer st.Close()
	const topic = "recover"
	brokers := st.Log.Brokers()
	if err := kafkalog.CreateTopic(ctx, brokers, topic, 8); err != nil {
		return err
	}
	cfg.Source.SnapshotInterval = time.Hour // only those that are asked for
	out := recoverResult{Settings: o}
	load := benchOptions{Events: 3 * o.Profiles, Visitors: o.Profiles, EventRate: 10_000}
	if err := preload(ctx, brokers, topic, load); err != nil {
		return err
	}
	first, err := newJob(ctx, cfg, brokers, topic, topic, st.ClickHouse.DSN())
	if err != nil {
		return err
	}
	if err := first.fill(ctx, &out, load, o.Since); err != nil {
		return err
	}
	second, err := newJob(ctx, cfg, brokers, topic, topic, st.ClickHouse.DSN())
	if err != nil {
		return err
	}
	t := time.Now()
	if err := second.Start(ctx); err != nil {
		return err
	}
	if err := second.CaughtUp(ctx); err != nil {
		return err
	}
	out.RecoveryS, out.LoadS, out.EventsAgain, out.Profiles = time.Since(t).Seconds(), second.Recovery.Took.Seconds(), second.Recovery.Events, second.Recovery.Profiles
	if err := second.Stop(); err != nil {
		return err
	}
	out.PeakRSSMB = usage.PeakMB(os.Getpid())
	return cli.PrintJSON(os.Stdout, out)
}

// fill makes a snapshot of a job that has read the topic, and gives it more events.
func (j *job) fill(ctx context.Context, out *recoverResult, load benchOptions, since int) error {
	if err := j.Start(ctx); err != nil {
		return err
	}
	if _, err := j.drain(ctx); err != nil {
		return err
	}
	t, cpu := time.Now(), usage.CPU()
	if err := j.Snapshot(ctx); err != nil {
		return err
	}
	stats, _ := j.Changelog()
	out.SnapshotS, out.SnapshotCPUS, out.SnapshotBytes = time.Since(t).Seconds(), usage.CPU()-cpu, stats.SnapshotBytes
	load.Start, load.Events = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(float64(load.Events)/load.EventRate)*time.Second), since
	if err := preload(ctx, j.Source.Brokers, j.Source.Topic, load); err != nil {
		return err
	}
	if _, err := j.drain(ctx); err != nil {
		return err
	}
	j.Abrupt = true
	return j.Stop()
}
