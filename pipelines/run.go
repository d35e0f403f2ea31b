package pipelines

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"github.com/microseg/microseg/runner"
)

// Runners that run a job in this process.
const (
	LocalRunner = runner.Name // ours: the default
	PrismRunner = "prism"     // Beam's own
)

// execute runs the pipeline on a runner in this process and waits for its end.
func execute(ctx context.Context, name string, p *beam.Pipeline) error {
	switch name {
	case "", LocalRunner:
		return RunLocal(ctx, p)
	case PrismRunner:
		return RunPrism(ctx, p)
	}
	return fmt.Errorf("%q is no runner in this process; choose %s or %s", name, LocalRunner, PrismRunner)
}

// readyOnce is of initBeam.
var readyOnce sync.Once

// RunLocal runs the pipeline on our own runner and waits for its end.
func RunLocal(ctx context.Context, p *beam.Pipeline) error {
	readyOnce.Do(initBeam)
	if _, err := runner.Execute(ctx, p); err != nil {
		return fmt.Errorf("running the job: %w", err)
	}
	return nil
}

// initBeam readies Beam for pipelines. It replaces the program's logger and tells of its
// normal work.
func initBeam() {
	logger := slog.Default()
	beam.Init()
	slog.SetDefault(logger)
}

// noSplit is the flag without which Prism may split a running source and then
// loses state updates under load.
const noSplit = "prism_disable_sdf_split"

var prismOnce sync.Once

// procsPerCore is how many threads run Go code for each core while Prism is in
// this process. Between a bundle's last data and its response Prism spins; with
// one thread a core that keeps the network poller, and so the response, waiting:
// at 10,000 events/s on 2 cores the spin took 4.6 ms a bundle, and 0.5 ms with two.
const procsPerCore = 2

// RunPrism runs the pipeline on Prism in this process and waits for its end.
func RunPrism(ctx context.Context, p *beam.Pipeline) error {
	prismOnce.Do(func() {
		if os.Getenv("GOMAXPROCS") == "" {
			runtime.GOMAXPROCS(procsPerCore * runtime.NumCPU())
		}
		if !strings.Contains(*jobopts.Experiments, noSplit) {
			*jobopts.Experiments = strings.TrimPrefix(*jobopts.Experiments+","+noSplit, ",")
		}
	})
	readyOnce.Do(initBeam)
	if _, err := prism.Execute(ctx, p); err != nil {
		return fmt.Errorf("running the job on Prism: %w", err)
	}
	return nil
}
