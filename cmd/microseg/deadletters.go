package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/microseg/microseg/sources/deadletters"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/spf13/cobra"
)

func deadlettersCommand(cfg *string) *cobra.Command {
	var p place
	var asJSON bool
	c := &cobra.Command{
		Use:   "deadletters",
		Short: "List the events that were not accepted, and why; replay them after a fix",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conn, err := p.open(c.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			letters, err := query.ListDeadLetters(c.Context(), conn, p.site)
			if err != nil {
				return err
			}
			if asJSON {
				return cli.PrintJSON(os.Stdout, letters)
			}
			_, err = fmt.Print(query.DeadLettersText(p.site, letters))
			return err
		},
	}
	p.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(replayDeadlettersCommand(cfg))
	return c
}

// lettersReplay is a replay of dead letters.
type lettersReplay struct {
	place
	o              deadletters.Options
	brokers        string
	reason, rekey  string
	events         string // topic that events come in
	dryRun, asJSON bool
	wait           time.Duration
}

// lettersReport is what a replay prints as JSON.
type lettersReport struct {
	deadletters.Plan
	Outcomes map[string]uint64 `json:"outcomes,omitempty"`
}

func replayDeadlettersCommand(cfg *string) *cobra.Command {
	var r lettersReplay
	c := &cobra.Command{
		Use:   "replay",
		Short: "Take dead letters that read by now in their place, and make their devices anew from the log",
		Long: `replay reads the dead letters once more with this version and configuration, which
must be the job's. The devices of those that are events now are made anew by the job
from all that the log holds of them, as if the letters had been read in their time:
sessions, links, segments. What was shown stays shown; a person's path goes on from
where it is. What is late, an alias that merges users, and what came without
consent stays a dead letter.

The log's retention bounds it, and is stated first. A device that remembers what the
log no longer holds (a link, a cart, a session) is left as it is and its letters are
counted as "history"; --cut makes it anew from the rest. Run it again at any time:
what is in its place already stays there.`,
		Example: "  microseg deadletters replay --dry-run\n  microseg deadletters replay --reason malformed\n  microseg deadletters replay --device 1f0c… --cut",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := config.Load(*cfg)
			if err != nil {
				return err
			}
			r.o.Event, r.o.Reason, r.rekey = conf.EventConfig(), event.Reason(r.reason), conf.Source.Rekey
			err = r.run(c.Context())
			return named(c.Context(), "deadletters", r.o.Brokers, topicsOfJob{r.events, r.o.Topic}, err)
		},
	}
	r.flags(c)
	f := c.Flags()
	f.StringVar(&r.brokers, "brokers", "", "brokers of the log (default: the running stack's)")
	f.StringVar(&r.o.Topic, "topic", "", "topic of events (default: the running stack's, else events)")
	f.StringVar(&r.reason, "reason", "", "only devices with a letter of this reason: malformed, oversized, future or poison")
	f.StringVar(&r.o.Device, "device", "", "only this device (an anonymousId, or user:<userId>)")
	f.BoolVar(&r.o.Cut, "cut", false, "make devices anew even where they remember what the log no longer holds: that is lost")
	f.BoolVar(&r.dryRun, "dry-run", false, "say what would be done, and do nothing")
	f.DurationVar(&r.wait, "wait", 2*time.Minute, "for the job to have done it")
	f.BoolVar(&r.asJSON, "json", false, "print JSON")
	return c
}

func (r *lettersReplay) run(ctx context.Context) error {
	conn, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if r.o.Brokers, r.events, err = r.log(r.brokers, r.o.Topic); err != nil {
		return err
	}
	r.o.Topic = r.events
	source, err := kafkaio.SourceTopic(ctx, r.o.Brokers, r.events, r.rekey)
	if err != nil {
		return err
	}
	r.o.Topic = source
	letters, err := query.ListLetters(ctx, conn, r.site)
	if err != nil {
		return err
	}
	for _, l := range letters {
		r.o.Letters = append(r.o.Letters, deadletters.Letter(l))
	}
	job, err := deadletters.New(ctx, r.o)
	if err != nil {
		return err
	}
	defer job.Close()
	report := lettersReport{Plan: job.Plan()}
	r.say("%s", planText(r.o.Topic, &report.Plan))
	if r.dryRun || report.Devices == 0 {
		return r.print(&report)
	}
	if report.Plan, err = job.Send(ctx); err != nil {
		return err
	}
	if report.Scattered > 0 {
		r.say("%d devices have events in several partitions and are left as they are: send their letters again\n", report.Scattered)
	}
	r.say("told the job to make %d devices anew, with %d dead letters; receipt %s\n", report.Devices, report.Sent, report.Receipt)
	report.Outcomes, err = r.await(ctx, conn, &report.Plan)
	if r.asJSON {
		return errors.Join(r.print(&report), err)
	}
	for _, outcome := range slices.Sorted(maps.Keys(report.Outcomes)) {
		fmt.Printf("  %d %s: %s\n", report.Outcomes[outcome], outcome, outcomeText(outcome))
	}
	return err
}

func (r *lettersReplay) say(format string, args ...any) {
	if !r.asJSON {
		fmt.Printf(format, args...)
	}
}

func (r *lettersReplay) print(report *lettersReport) error {
	if !r.asJSON {
		return nil
	}
	return cli.PrintJSON(os.Stdout, report)
}

// await waits until the job has told of every letter.
func (r *lettersReplay) await(ctx context.Context, conn driver.Conn, plan *deadletters.Plan) (map[string]uint64, error) {
	end := time.Now().Add(r.wait)
	for {
		out, err := query.Outcomes(ctx, conn, r.site, plan.Receipt)
		if err != nil {
			return nil, err
		}
		n := uint64(0)
		for _, x := range out {
			n += x
		}
		if n >= uint64(plan.Sent) {
			return out, nil
		}
		if time.Now().After(end) {
			return out, fmt.Errorf("after %v the job has told of %d of %d letters: is it running, in this version? It does the rest when it gets there; see dead_letter_replays with receipt %s", r.wait, n, plan.Sent, plan.Receipt)
		}
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// planText says what a replay can do and what it will do.
func planText(topic string, p *deadletters.Plan) string {
	kept := "for ever"
	if p.Retention > 0 {
		kept = fmt.Sprintf("for %v (retention.ms)", p.Retention)
	}
	since := "no records"
	if !p.Since.IsZero() {
		since = "records since " + p.Since.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("topic %s holds %s and keeps them %s: what devices did before cannot be made anew\n"+
		"%d dead letters: %d read by now, %d are still no events, %d are no longer in the log; %d others stay (late, aliases that merge users, without consent)\n"+
		"%d devices to make anew from the log\n",
		topic, since, kept, p.Letters, p.Readable, p.Refused, p.Gone, p.Verdicts+p.Unconsented, p.Devices)
}

func outcomeText(outcome string) string {
	switch outcome {
	case identity.ReplayedGood:
		return "in their place"
	case identity.ReplayedDuplicate:
		return "an event that was sent again and accepted meanwhile"
	case identity.ReplayedHistory:
		return "left as they are: the device remembers what the log no longer holds (--cut makes it anew without)"
	}
	return "they stay dead letters"
}
