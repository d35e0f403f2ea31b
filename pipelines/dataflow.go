//go:build dataflow

package pipelines

// Dataflow and its cloud libraries: `go build -tags dataflow ./cmd/microseg`.
import _ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/dataflow"

// WithDataflow says whether the program was built with Dataflow.
const WithDataflow = true
