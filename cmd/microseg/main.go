// Command microseg is the whole product in one binary: the job, its embedded
// defaults, and the tools around them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/pipelines"
	"github.com/spf13/cobra"
)

func main() {
	clickhouse.HandleChild()
	beWorker()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: explained})))
	ctx, stop := untilSignal(context.Background())
	defer stop()
	err := clock.FromEnv()
	if err == nil {
		err = root().ExecuteContext(ctx)
	}
	var code exitCode
	switch {
	case errors.As(err, &code):
		os.Exit(int(code))
	case err != nil:
		fmt.Fprintln(os.Stderr, "microseg:", withHelp(kafka.Explain(err)))
		os.Exit(1)
	}
}

// explained makes an error that is logged say what to do about it.
func explained(_ []string, a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.AnyValue(kafka.Explain(err))
	}
	return a
}

// withHelp says where what was mistyped is listed.
func withHelp(err error) string {
	text := err.Error()
	if strings.HasPrefix(text, `unknown command "bench"`) {
		return text + "; benchmarks are a program of their own: ./run.sh bench"
	}
	if strings.HasPrefix(text, "unknown command") || strings.HasPrefix(text, "unknown flag") || strings.HasPrefix(text, "unknown shorthand flag") {
		text = strings.TrimRight(text, "\n") + "; --help lists what there is"
	}
	return text
}

// beWorker makes this process a Beam worker and does not return, when a runner's
// boot program started it as one.
func beWorker() {
	for _, a := range os.Args[1:] {
		if a == "--worker" || a == "--worker=true" {
			flag.Parse()
			pipelines.Work()
		}
	}
}

// exitCode ends the program with a code after its output was printed.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func root() *cobra.Command {
	var cfg string
	c := &cobra.Command{
		Use:   "microseg",
		Short: "Real-time behavioural micro-segmentation: clickstream in, every visitor's current segment out",
		Long: `microseg reads Segment-spec events from a Kafka topic, keeps every visitor's
current micro-segment in a Beam pipeline, and records segments, membership
events, sessions, audience and latency in ClickHouse.

Try "microseg demo": it brings its own log, runner and ClickHouse.

In a clone, ./run.sh takes these commands, too, and has more: test, bench, bench peers,
faults and attack.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	c.PersistentPreRun = func(*cobra.Command, []string) { cfg = cli.Given(cfg) }
	c.PersistentFlags().StringVarP(&cfg, "config", "c", "", "configuration file (default: the shipped one, see config/microseg.yaml)")
	c.AddCommand(demoCommand(&cfg), upCommand(&cfg), serveCommand(&cfg), redisCommand(&cfg), rekeyCommand(&cfg), stateCommand(), edgeCommand(), pipelineCommand(&cfg), replayCommand(&cfg), checkCommand(&cfg),
		reportCommand(), profileCommand(), identityCommand(), deadlettersCommand(&cfg), healthCommand(&cfg), sqlCommand(), clickhouseCommand(), versionCommand())
	return c
}
