//go:build !dataflow

package pipelines

// WithDataflow says whether the program was built with Dataflow.
const WithDataflow = false
