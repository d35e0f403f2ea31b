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
)

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
		// Beam replaces the program's logger and tells of its normal work.
		logger := slog.Default()
		beam.Init()
		slog.SetDefault(logger)
	})
	if _, err := prism.Execute(ctx, p); err != nil {
		return fmt.Errorf("running the job on Prism: %w", err)
	}
	return nil
}
