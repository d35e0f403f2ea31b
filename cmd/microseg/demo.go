package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/embedded/stack"
	"github.com/microseg/microseg/samples/convert"
	"github.com/microseg/microseg/samples/simulate"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/microseg/microseg/sources/replay"
	"github.com/spf13/cobra"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	input  string
	json   bool
	resume bool
	sort   bool
	seed   uint64
	visits int
	dir    string
}

func demoCommand(cfg *string) *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "Replay a recorded shop through the whole job and print the report",
		Long: `demo starts the embedded log, ClickHouse and the pipeline, replays the REES46
sample (a real shop, 2019-10-01) and then an hour of simulated visitors, waits
until everything is recorded, and prints a report read back from ClickHouse.
With --input it replays your own Segment-spec events instead: JSON lines, a JSON
array or bodies of batches, also packed (see "microseg replay --help").`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runDemo(c.Context(), *cfg, o) },
	}
	f := c.Flags()
	f.StringVar(&o.input, "input", "", "replay this file of Segment-spec events instead of the sample")
	f.BoolVar(&o.json, "json", false, "print the report as JSON on standard output")
	f.BoolVar(&o.resume, "resume", false, "add to the last demo's topic and site instead of starting clean")
	f.BoolVar(&o.sort, "sort", false, "sort the input by event time first")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the simulated visitors")
	f.IntVar(&o.visits, "visitors", 900, "simulated visitors after the sample; 0 for none")
	f.StringVar(&o.dir, "dir", stack.Home, "folder for the log's and ClickHouse's data")
	return c
}

func runDemo(ctx context.Context, cfgPath string, o demoOptions) error {
	cfg, err := config.LoadDemo(cfgPath)
	if err != nil {
		return err
	}
	o.input = cli.Given(o.input)
	if o.input != "" { // before anything is started or cleaned away
		if err := replay.Check(o.input); err != nil {
			return err
		}
	}
	st, err := stack.Start(ctx, stack.Options{Dir: o.dir, Clean: !o.resume, MinFree: cfg.Storage.MinFree, Messages: os.Stderr})
	if err != nil {
		return err
	}
	defer st.Close()
	site, topic, err := demoSite(o)
	if err != nil {
		return err
	}
	if err := kafkalog.CreateTopic(ctx, st.Log.Brokers(), topic, 8); err != nil {
		return err
	}
	j, err := newJob(ctx, cfg, st.Log.Brokers(), topic, site, st.ClickHouse.DSN())
	if err != nil {
		return err
	}
	if err := j.Start(ctx); err != nil {
		return err
	}
	if err := st.WriteAddresses(st.Addresses(site, topic)); err != nil {
		return err
	}
	ends, err := replayDemo(ctx, cfg, st.Log.Brokers(), j.Source.Topic, o)
	var nothing *replay.NothingReadError
	if err != nil && (!errors.As(err, &nothing) || nothing.Records == 0) {
		return errors.Join(err, j.Stop())
	}
	// Of what was nothing but dead letters there is a report, too, and exit code 1.
	return cmp.Or(demoReport(ctx, j, ends, o), err)
}

func demoReport(ctx context.Context, j *job, ends map[int32]int64, o demoOptions) error {
	conn, err := clickhouseio.Dial(j.Sink.DSN)
	if err != nil {
		return err
	}
	defer conn.Close()
	t := time.Now()
	if err := j.Drained(ctx, ends); err != nil {
		return err
	}
	if err := passed(ctx, j); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "drained and recorded (%.1f s)\n", time.Since(t).Seconds())
	if err := j.Stop(); err != nil {
		return err
	}
	r, err := query.Report(ctx, conn, j.Site, j.thresholds())
	if err != nil {
		return err
	}
	return printReport(os.Stdout, r, o.json)
}

// passesWithin is how long the report waits for time to pass the last events; source.idle_after
// may make it longer.
const passesWithin = 30 * time.Second

// passed waits for the audience of the last events.
func passed(ctx context.Context, j *job) error {
	short, cancel := context.WithTimeout(ctx, passesWithin)
	defer cancel()
	err := j.Passed(short)
	if err == nil || ctx.Err() != nil || short.Err() == nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "the report has an earlier audience: time has not passed the last events within %v "+
		"(source.idle_after is %v)\n", passesWithin, j.Config.Source.IdleAfter)
	return nil
}

func printReport(w io.Writer, r *query.ReportData, asJSON bool) error {
	if !asJSON {
		return query.WriteText(w, r)
	}
	return cli.PrintJSON(w, r)
}

// demoSites is the form of their names: the time of the run.
const demoSites = "demo-20060102-150405"

// demoSite names the run: each has its own topic and site, so that an old
// replay never meets other traffic. --resume goes on with the last one's.
func demoSite(o demoOptions) (site, topic string, err error) {
	last := filepath.Join(o.dir, lastDemo)
	if o.resume {
		b, err := os.ReadFile(last)
		if err != nil {
			return "", "", fmt.Errorf("resuming: there is no earlier demo in %s: run without --resume first", o.dir)
		}
		return string(b), "events-" + string(b), nil
	}
	site = time.Now().UTC().Format(demoSites)
	if err := os.WriteFile(last, []byte(site), 0o644); err != nil {
		return "", "", fmt.Errorf("noting the demo's site: %w", err)
	}
	return site, "events-" + site, nil
}

// replayDemo sends the input, or the sample and then simulated visitors, and
// returns the log's end offsets.
func replayDemo(ctx context.Context, cfg *config.Config, brokers []string, topic string, o demoOptions) (map[int32]int64, error) {
	to := replay.Options{Brokers: brokers, Topic: topic, Event: cfg.EventConfig(), Progress: os.Stderr}
	if o.input != "" {
		fmt.Fprintf(os.Stderr, "replaying %s\n", o.input)
		to.Path, to.Sort = o.input, o.sort
		r, err := replay.Run(ctx, to)
		return r.Ends, err
	}
	sample, err := convert.Open("rees46")
	if err != nil {
		return nil, err
	}
	defer sample.Close()
	fmt.Fprintln(os.Stderr, "replaying the REES46 sample (real events of 2019-10-01; source: REES46 Marketing Platform)")
	to.Reader = sample
	r, err := replay.Run(ctx, to)
	if err != nil || o.visits == 0 {
		return r.Ends, err
	}
	fmt.Fprintf(os.Stderr, "replaying %d simulated visitors (seed %d; simulated, not real)\n", o.visits, o.seed)
	pr, pw := io.Pipe()
	go func() {
		pw.CloseWithError(simulate.Run(simulate.Options{Seed: o.seed, Start: sampleEnd, Duration: time.Hour, Visitors: o.visits}, func(line []byte) error {
			_, err := pw.Write(append(line, '\n'))
			return err
		}))
	}()
	to.Reader = pr
	r, err = replay.Run(ctx, to)
	return r.Ends, err
}

// sampleEnd is after the REES46 sample's last event.
var sampleEnd = time.Date(2019, 10, 1, 2, 51, 0, 0, time.UTC)
