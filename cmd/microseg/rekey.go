package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/spf13/cobra"
)

// sourceTopic is the topic that the job of a topic of events reads, as soon as the
// log answers.
func sourceTopic(ctx context.Context, cfg *config.Config, brokers []string, events string) (string, error) {
	for told := false; ; told = true {
		topic, err := kafkaio.SourceTopic(ctx, brokers, events, cfg.Source.Rekey)
		if err == nil {
			return topic, nil
		}
		if temporary, ofTheLog := kafkaio.Temporary(err); ofTheLog && !temporary {
			return "", err
		}
		if !told {
			fmt.Fprintf(os.Stderr, "waiting for the log: %v\n", kafka.Explain(err))
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func rekeyCommand(cfg *string) *cobra.Command {
	var brokers, topic string
	c := &cobra.Command{
		Use:   "rekey",
		Short: "Copy events by device into topic <events>-keyed, beside a job that does not do it itself",
		Long: `rekey copies the records of a topic of events, however they are keyed, into topic
<events>-keyed, where those of each device are in one partition. A job that runs
in its own process (local, prism) does it itself with source.rekey; one on Flink or
Dataflow needs this beside it.
Several of them do no harm: each record counts once.`,
		Example: "  microseg rekey --brokers kafka:9092 --topic events",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := config.Load(*cfg)
			if err != nil {
				return err
			}
			if brokers == "" {
				return errors.New("give the log's --brokers")
			}
			at := topicsOfJob{topic, kafkaio.KeyedTopic(topic)}
			_, _, err = kafkaio.OpenSource(c.Context(), cli.Split(brokers), topic, kafkaio.RekeyOn, 0, conf.EventConfig())
			if err != nil {
				return named(c.Context(), "copier", cli.Split(brokers), at, err)
			}
			watchLock(c.Context(), "copier", cli.Split(brokers), at)
			fmt.Fprintf(os.Stderr, "copying topic %s by device into %s\n", topic, kafkaio.KeyedTopic(topic))
			(&kafkaio.Rekeyer{Brokers: cli.Split(brokers), Events: topic, Event: conf.EventConfig()}).Run(c.Context())
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&brokers, "brokers", "", "brokers of the log, host:port[,host:port]")
	f.StringVar(&topic, "topic", "events", "topic of events")
	return c
}
