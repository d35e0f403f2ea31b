//go:build dataflow

package main

// Dataflow and its cloud libraries: `go build -tags dataflow ./cmd/microseg`.
import _ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/dataflow"

const withDataflow = true
