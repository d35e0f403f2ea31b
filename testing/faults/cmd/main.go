// Command cmd runs package faults for as long as one likes and prints what it
// found as JSON. `./run.sh faults` builds the binary that it needs and runs it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/testing/faults"
)

func main() {
	clickhouse.HandleChild()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o := faults.Options{Progress: os.Stderr}
	flag.StringVar(&o.Binary, "binary", filepath.Join(".microseg", "bin", "microseg"), "the microseg that is tried")
	flag.StringVar(&o.Dir, "dir", "", "folder for data and logs, removed when nothing is wrong (default: a new one in .microseg/faults)")
	flag.Uint64Var(&o.Seed, "seed", uint64(time.Now().UnixNano()>>20), "of events and faults (default: another one each time)")
	flag.IntVar(&o.Events, "events", 1_000_000, "events, at least")
	flag.DurationVar(&o.Duration, "duration", 15*time.Minute, "in which they are sent")
	flag.DurationVar(&o.Every, "every", 20*time.Second, "between faults, on average")
	flag.DurationVar(&o.MaxDown, "down", time.Minute, "longest outage of a process")
	flag.DurationVar(&o.MaxPause, "pause", 45*time.Second, "longest that a job stands still before it comes back as a zombie")
	flag.BoolVar(&o.Strict, "strict", false, "fail where the history of memberships was rewritten")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is no flag; --help lists them", flag.Args())
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(".microseg", "faults", fmt.Sprintf("%s-%d", time.Now().UTC().Format("20060102T150405"), o.Seed))
	}
	report, err := faults.Run(ctx, o)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	fmt.Println(string(b))
	return report.Err()
}
