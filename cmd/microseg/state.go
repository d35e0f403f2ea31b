package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/spf13/cobra"
)

func stateCommand() *cobra.Command {
	var brokers, topic string
	var asJSON bool
	var where folder
	c := &cobra.Command{
		Use:   "state",
		Short: "List what a restarted job goes on from: shards, sizes, offsets, versions",
		Long: `state reads the changelog of the running stack's job, or of --brokers and --topic.
The job goes on meanwhile. A device shard (d) holds devices with their sessions, a
person shard (p) users; "since" is what a restart reads again behind the snapshot.`,
		Example: "  microseg state\n  microseg state verify --brokers kafka:9092 --topic events",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runState(c.Context(), os.Stdout, &where, brokers, topic, false, asJSON)
		},
	}
	verify := &cobra.Command{
		Use: "verify", Short: "Read all of it and recompute the checksums", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runState(c.Context(), os.Stdout, &where, brokers, topic, true, asJSON)
		},
	}
	f := c.PersistentFlags()
	where.flag(c)
	f.StringVar(&brokers, "brokers", "", "brokers of the log (default: the running stack's)")
	f.StringVar(&topic, "topic", "", "topic of events (default: the running stack's, else events)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(verify)
	return c
}

func runState(ctx context.Context, out io.Writer, where *folder, brokers, topic string, verify, asJSON bool) error {
	seeds, topic, err := where.log(brokers, topic)
	if err != nil {
		return err
	}
	at := topicsOfJob{topic, topic}
	if at.source, err = kafkaio.SourceTopic(ctx, seeds, topic, kafkaio.RekeyAuto); err != nil {
		return named(ctx, "state", seeds, topicsOfJob{topic, topic}, err)
	}
	s, err := changelogio.Inspect(ctx, seeds, changelogio.Topic(at.source), verify)
	if err != nil {
		return named(ctx, "state", seeds, at, err)
	}
	if asJSON {
		return cli.PrintJSON(out, s)
	}
	return printState(out, s, changelogio.Topic(at.source), verify)
}

func printState(out io.Writer, s *changelogio.State, topic string, verify bool) error {
	m := &s.Manifest
	fmt.Fprintf(out, "topic %s, schema %d, run %d, configuration %s\nsnapshots of %s, %d rounds\n\n", topic, m.Schema, m.Run, m.Fingerprint,
		time.UnixMilli(m.At).UTC().Format(time.RFC3339), m.Round)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "shard\tbytes\tat offset\trecords since\tchecksum\t\n")
	shards := (len(s.Machines) - 1) / 2
	for i, x := range s.Machines {
		name := fmt.Sprintf("d%d", i)
		switch {
		case i == 2*shards:
			name = "audience"
		case i >= shards:
			name = fmt.Sprintf("p%d", i-shards)
		}
		sum := fmt.Sprintf("%08x", x.CRC)
		if verify {
			sum += " ok"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t\n", name, x.Bytes, x.Begin, x.Records, sum)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing the state: %w", err)
	}
	fmt.Fprint(out, "\nlast events in the snapshots: ")
	for p := range int32(len(m.Offsets)) {
		fmt.Fprintf(out, "%d:%d ", p, m.Offsets[p])
	}
	fmt.Fprintln(out)
	return nil
}
