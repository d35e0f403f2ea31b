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
	var port, httpPort int
	var clean bool
	c := &cobra.Command{
		Use:   "up",
		Short: "Keep log, ClickHouse and pipeline running until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runUp(c.Context(), *cfg, upOptions{dir, topic, port, httpPort, clean})
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", filepath.Join(dataDir, "up"), "folder for the log's and ClickHouse's data")
	f.StringVar(&topic, "topic", "events", "topic to read; made when missing")
	f.IntVar(&port, "kafka-port", 0, "port of the embedded log; 0: a free one")
	f.IntVar(&httpPort, "http-port", 0, "port of health and metrics; 0: a free one")
	f.BoolVar(&clean, "clean", false, "forget what the log holds")
	return c
}

type upOptions struct {
	dir, topic      string
	kafka, httpPort int
	clean           bool
}

func runUp(ctx context.Context, cfgPath string, o upOptions) error {
	cfg, err := config.Load(cfgPath)
	if err != nil {
		return err
	}
	st, err := startStack(ctx, stackOptions{dir: o.dir, kafkaPort: o.kafka, clean: o.clean, messages: os.Stderr})
	if err != nil {
		return err
	}
	defer st.close()
	if err := kafkalog.CreateTopic(ctx, st.log.Brokers(), o.topic, 8); err != nil {
		return err
	}
	j, err := newJob(ctx, cfg, st.log.Brokers(), o.topic, cfg.Site, st.ch.DSN())
	if err != nil {
		return err
	}
	if err := j.Start(ctx); err != nil {
		return err
	}
	m, err := startMonitor(j, fmt.Sprintf("127.0.0.1:%d", o.httpPort))
	if err != nil {
		return err
	}
	defer m.close()
	a := st.addresses(cfg.Site, o.topic)
	a.HTTP = m.addr
	// Commands that look for a running stack look here, whatever folder it uses.
	st.dir = dataDir
	if err := os.MkdirAll(dataDir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", dataDir, err)
	}
	if err := st.writeAddresses(a); err != nil {
		return err
	}
	fmt.Printf("kafka              %s (topic %s)\nclickhouse native  %s\nclickhouse http    %s\nhealth, metrics    http://%s/health, /metrics\n", a.Kafka, o.topic, a.ClickHouseNative, a.ClickHouseHTTP, a.HTTP)
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
