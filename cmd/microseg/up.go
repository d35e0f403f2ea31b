package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/testing/harness/kafkalog"
	"github.com/spf13/cobra"
)

func upCommand(cfg *string) *cobra.Command {
	var dir, topic string
	var port int
	var clean bool
	c := &cobra.Command{
		Use:   "up",
		Short: "Keep log, ClickHouse and pipeline running until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runUp(c.Context(), *cfg, dir, topic, port, clean)
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", filepath.Join(dataDir, "up"), "folder for the log's and ClickHouse's data")
	f.StringVar(&topic, "topic", "events", "topic to read; made when missing")
	f.IntVar(&port, "kafka-port", 0, "port of the embedded log; 0: a free one")
	f.BoolVar(&clean, "clean", false, "forget what the log holds")
	return c
}

func runUp(ctx context.Context, cfgPath, dir, topic string, port int, clean bool) error {
	cfg, err := config.Load(cfgPath)
	if err != nil {
		return err
	}
	st, err := startStack(ctx, stackOptions{dir: dir, kafkaPort: port, clean: clean, messages: os.Stderr})
	if err != nil {
		return err
	}
	defer st.close()
	if err := kafkalog.CreateTopic(ctx, st.log.Brokers(), topic, 8); err != nil {
		return err
	}
	j, err := newJob(ctx, cfg, st.log.Brokers(), topic, cfg.Site, st.ch.DSN())
	if err != nil {
		return err
	}
	if err := j.Start(ctx); err != nil {
		return err
	}
	a := st.addresses(cfg.Site, topic)
	// Commands that look for a running stack look here, whatever folder it uses.
	st.dir = dataDir
	if err := os.MkdirAll(dataDir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", dataDir, err)
	}
	if err := st.writeAddresses(a); err != nil {
		return err
	}
	fmt.Printf("kafka              %s (topic %s)\nclickhouse native  %s\nclickhouse http    %s\n", a.Kafka, topic, a.ClickHouseNative, a.ClickHouseHTTP)
	return j.serve(ctx)
}

// serve watches the job's health until the context ends or the pipeline does.
func (j *job) serve(ctx context.Context) error {
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	go j.watchHealth(watch, 10*time.Second)
	select {
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr, "stopping: draining the pipeline and recording what it decided")
		return j.Stop()
	case err := <-j.Done():
		j.Done() <- err
		if err == nil {
			err = fmt.Errorf("the pipeline ended by itself")
		}
		return err
	}
}
