// Command bench measures the job and serving nodes, and prints JSON. `./run.sh bench` builds
// it, and the microseg that it starts.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/pipelines"
	"github.com/spf13/cobra"
)

func main() {
	clickhouse.HandleChild()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := clock.FromEnv()
	if err == nil {
		err = root().ExecuteContext(ctx)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", kafka.Explain(err))
		os.Exit(1)
	}
}

func root() *cobra.Command {
	var cfg string
	c := benchCommand(&cfg)
	c.SilenceUsage, c.SilenceErrors, c.CompletionOptions.DisableDefaultCmd = true, true, true
	c.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "./run.sh bench"}
	c.PersistentPreRun = func(*cobra.Command, []string) { cfg = cli.Given(cfg) }
	c.PersistentFlags().StringVarP(&cfg, "config", "c", "", "configuration file (default: the shipped one, see config/microseg.yaml)")
	return c
}

// job is a live job that is measured.
type job struct{ *pipelines.Job }

// newJob makes a job, as soon as its log and its ClickHouse answer.
func newJob(ctx context.Context, cfg *config.Config, brokers []string, topic, site, dsn string) (*job, error) {
	var made *pipelines.Job
	err := pipelines.Await(ctx, func() (err error) {
		made, err = pipelines.NewJob(ctx, cfg, brokers, topic, site, dsn)
		return err
	})
	return &job{made}, err
}
