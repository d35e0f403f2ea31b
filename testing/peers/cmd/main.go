// Command cmd measures microseg and its two peers (package peers) on one topic of one
// Apache Kafka, in turns, and prints JSON, ratios first. `./run.sh bench peers` builds the
// binary that it needs and runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/testing/peers"
)

func main() {
	clickhouse.HandleChild()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := bench
	if len(os.Args) > 1 && os.Args[1] == "loop" {
		os.Args = append(os.Args[:1], os.Args[2:]...)
		run = loop
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench peers:", err)
		stop()
		os.Exit(1)
	}
}

// loop runs the plain loop, as a process of its own.
func loop(ctx context.Context) error {
	var o peers.Options
	var brokers string
	var expect int64
	flag.StringVar(&brokers, "brokers", "", "of the log")
	flag.StringVar(&o.Events, "events", "", "topic to read")
	flag.StringVar(&o.Updates, "updates", "", "topic to write")
	flag.BoolVar(&o.Bounded, "bounded", false, "end where the topic ends")
	flag.BoolVar(&o.Quick, "quick", false, "write updates at once")
	flag.Int64Var(&expect, "expect", 0, "records that will be read")
	flag.Parse()
	o.Brokers, o.Progress = strings.Split(brokers, ","), peers.Marks(os.Stdout, expect)
	return peers.Loop(ctx, o)
}

// options are the flags, and the settings in the result.
type options struct {
	Events     int           `json:"events"`
	Visitors   int           `json:"visitors"`
	Runs       int           `json:"runs"`
	Partitions int32         `json:"partitions"`
	Rate       int           `json:"rate_per_s"` // of the latencies
	Seconds    float64       `json:"rate_s"`
	WarmUpS    float64       `json:"rate_warm_up_s"`
	Only       string        `json:"only,omitempty"`
	Binary     string        `json:"-"`
	Bench      string        `json:"-"`
	Dir        string        `json:"-"`
	Duration   time.Duration `json:"-"`
	WarmUp     time.Duration `json:"-"`
}

func bench(ctx context.Context) (err error) {
	var o options
	partitions := 8
	flag.IntVar(&o.Events, "events", 2_000_000, "events that are in the topic before it is read")
	flag.IntVar(&o.Visitors, "visitors", 100_000, "visitors they come from")
	flag.IntVar(&o.Runs, "runs", 3, "times that each is run, in turns")
	flag.IntVar(&partitions, "partitions", partitions, "of the topic")
	flag.IntVar(&o.Rate, "rate", 10_000, "events per second, for the latencies")
	flag.DurationVar(&o.Duration, "duration", 30*time.Second, "for which latencies are measured")
	flag.DurationVar(&o.WarmUp, "warm-up", 20*time.Second, "of the same rate before")
	flag.StringVar(&o.Only, "only", "", "throughput or latency")
	flag.StringVar(&o.Binary, "binary", filepath.Join(".microseg", "bin", "microseg"), "the microseg that is measured")
	flag.StringVar(&o.Bench, "bench", filepath.Join(".microseg", "bin", "bench"), "the benchmark that runs it from preloaded topics")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is no flag; --help lists them", flag.Args())
	}
	if o.Events < 1000 || o.Visitors < 1 || o.Runs < 1 || o.Rate < 1 {
		return errors.New("at least 1000 --events, one of --visitors, --runs and --rate")
	}
	if o.Only != "" && o.Only != "throughput" && o.Only != "latency" {
		return fmt.Errorf("--only %q is neither throughput nor latency", o.Only)
	}
	o.Partitions, o.Seconds, o.WarmUpS = int32(partitions), o.Duration.Seconds(), o.WarmUp.Seconds()
	parent := filepath.Join(".microseg", "bench")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("making the benchmark's folder: %w", err)
	}
	if o.Dir, err = os.MkdirTemp(parent, "peers-"); err == nil {
		o.Dir, err = filepath.Abs(o.Dir)
	}
	if err != nil {
		return fmt.Errorf("making the benchmark's folder: %w", err)
	}
	defer os.RemoveAll(o.Dir)
	r, err := measure(ctx, o)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	fmt.Println(string(b))
	return nil
}
