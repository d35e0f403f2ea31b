package pipelines

import (
	"context"
	"fmt"
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

// RunPrism runs the pipeline on Prism in this process and waits for its end.
func RunPrism(ctx context.Context, p *beam.Pipeline) error {
	prismOnce.Do(func() {
		if !strings.Contains(*jobopts.Experiments, noSplit) {
			*jobopts.Experiments = strings.TrimPrefix(*jobopts.Experiments+","+noSplit, ",")
		}
		beam.Init()
	})
	if _, err := prism.Execute(ctx, p); err != nil {
		return fmt.Errorf("running the job on Prism: %w", err)
	}
	return nil
}
