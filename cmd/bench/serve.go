package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/embedded/stack"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/spf13/cobra"
)

// serveOptions are the flags of bench serve, and the settings in its result.
type serveOptions struct {
	Rate        float64       `json:"offered_per_s"`
	EventRate   float64       `json:"offered_events_per_s"` // to the collector
	DeliverRate []float64     `json:"deliver_events_per_s"`
	Duration    time.Duration `json:"-"`
	DurationS   float64       `json:"duration_s"` // of each measurement, after its warm-up
	WarmUp      time.Duration `json:"-"`
	WarmUpS     float64       `json:"warm_up_s"`
	Profiles    int           `json:"profiles"`
	Connections int           `json:"connections"`
	SyncWrites  bool          `json:"sync_writes"`
	Only        []string      `json:"parts"`
	Cores       int           `json:"cores"`
	Profile     string        `json:"-"` // file of the node's CPU profile
	Binary      string        `json:"-"` // the microseg that is measured
	config      string        // file of the configuration
}

// serveParts are what --only chooses from, in the order in which they run.
var serveParts = []string{"bootstrap", "lookups", "personalize", "collect", "deliver"}

// serveResult is what bench serve prints. A part that was not asked for is missing.
type serveResult struct {
	Bootstrap   *bootstrapResult `json:"bootstrap,omitempty"`
	Lookups     *attackResult    `json:"lookups,omitempty"`
	Personalize *attackResult    `json:"personalize,omitempty"`
	Collect     *collectResult   `json:"collect,omitempty"`
	Deliver     []*deliverResult `json:"deliver,omitempty"`
	Settings    serveOptions     `json:"settings"`
}

func serveBenchCommand(cfg *string) *cobra.Command {
	o := serveOptions{Cores: runtime.NumCPU()}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Measure a serving node: bootstrap, lookups, personalize, collector, delivery; prints JSON",
		Long: `serve publishes profiles to an embedded log on disk and starts a node of its own
process that reads them. Then it offers requests at a steady rate, whether or not
earlier ones are answered (vegeta, in this process), and measures
  bootstrap    seconds until the node is ready, its memory
  lookups      GET /api/segment
  personalize  POST /api/personalize
  collect      POST /v1/batch, 100 events of 540 bytes, acknowledged by the log
  deliver      with a running job and ClickHouse: from the decision to the
               node's memory, and from the event's append to it`,
		Example: "  ./run.sh bench serve\n  ./run.sh bench serve --only bootstrap --profiles 1000000\n  ./run.sh bench serve --only lookups,personalize --rate 25000 --cpuprofile node.pprof",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, part := range o.Only {
				if !slices.Contains(serveParts, part) {
					return fmt.Errorf("--only %s: choose from %s", part, strings.Join(serveParts, ", "))
				}
			}
			conf, err := config.LoadDemo(*cfg)
			if err != nil {
				return err
			}
			o.config, o.DurationS, o.WarmUpS = *cfg, o.Duration.Seconds(), o.WarmUp.Seconds()
			r, err := benchServe(c.Context(), conf, o)
			if err != nil {
				return err
			}
			return cli.PrintJSON(os.Stdout, r)
		},
	}
	f := c.Flags()
	f.Float64Var(&o.Rate, "rate", 20_000, "requests per second, for lookups and for personalize")
	f.Float64Var(&o.EventRate, "event-rate", 20_000, "events per second to the collector")
	f.Float64SliceVar(&o.DeliverRate, "deliver-rate", []float64{1000, 10_000}, "events per second during each measurement of deliver")
	f.DurationVar(&o.Duration, "duration", 20*time.Second, "of each measurement")
	f.DurationVar(&o.WarmUp, "warm-up", 3*time.Second, "before each measurement")
	f.IntVar(&o.Profiles, "profiles", 100_000, "profiles in the node")
	f.IntVar(&o.Connections, "connections", 64, "connections to the node")
	f.BoolVar(&o.SyncWrites, "sync-writes", false, "the embedded log syncs every write to disk")
	f.StringSliceVar(&o.Only, "only", serveParts, "parts to measure")
	f.StringVar(&o.Binary, "binary", filepath.Join(stack.Home, "bin", "microseg"), "the microseg that is measured")
	f.StringVar(&o.Profile, "cpuprofile", "", "write a CPU profile of the node to this file (go tool pprof)")
	return c
}

// benchServe measures the parts that were asked for.
func benchServe(ctx context.Context, cfg *config.Config, o serveOptions) (*serveResult, error) {
	dir, err := os.MkdirTemp(mustDir(filepath.Join(stack.Home, "bench")), "serve-")
	if err != nil {
		return nil, fmt.Errorf("making the benchmark's folder: %w", err)
	}
	defer os.RemoveAll(dir)
	out := &serveResult{Settings: o}
	if slices.ContainsFunc(o.Only, func(part string) bool { return part != "deliver" }) {
		if err := benchNode(ctx, cfg, dir, &o, out); err != nil {
			return nil, err
		}
	}
	if slices.Contains(o.Only, "deliver") {
		for _, rate := range o.DeliverRate {
			d, err := benchDeliver(ctx, cfg, filepath.Join(dir, "deliver"), rate, &o)
			if err != nil {
				return nil, err
			}
			out.Deliver = append(out.Deliver, d)
		}
	}
	return out, nil
}

// benchTopic is the topic of events; that of segments has its name.
const benchTopic = "bench"

// benchNode measures what one node does by itself.
func benchNode(ctx context.Context, cfg *config.Config, dir string, o *serveOptions, out *serveResult) (err error) {
	log, err := kafkalog.Start(kafkalog.Options{Dir: mustDir(filepath.Join(dir, "log")), SyncWrites: o.SyncWrites})
	if err != nil {
		return err
	}
	defer log.Close()
	if err := kafkalog.CreateTopic(ctx, log.Brokers(), benchTopic, 8); err != nil {
		return err
	}
	segments := segmentsio.Topic(benchTopic)
	if err := segmentsio.CreateTopic(ctx, log.Brokers(), segments, 8); err != nil {
		return err
	}
	t := time.Now()
	if err := publishProfiles(ctx, cfg, log.Brokers(), segments, o.Profiles); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "published %d profiles (%.1f s)\n", o.Profiles, time.Since(t).Seconds())
	n, err := startNode(ctx, log.Brokers(), o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	if slices.Contains(o.Only, "bootstrap") {
		if out.Bootstrap, err = n.bootstrapped(ctx, o.Profiles); err != nil {
			return err
		}
	}
	if slices.Contains(o.Only, "lookups") {
		out.Lookups = n.attack(ctx, o.Rate, o, lookups(n.addr, o.Profiles))
	}
	if slices.Contains(o.Only, "personalize") {
		out.Personalize = n.attack(ctx, o.Rate, o, personalizes(n.addr, o.Profiles))
	}
	if slices.Contains(o.Only, "collect") {
		out.Collect, err = n.collect(ctx, log.Brokers(), o)
	}
	return err
}
