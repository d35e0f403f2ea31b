package pipelines

import (
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/microseg/microseg/transforms"
)

// Batch is the bounded pipeline: a PCollection<KV<int64, []byte>> of offsets and
// records in, the same session rows out (a PCollection<rows.Batch>) as the live
// job makes of the same records.
func Batch(s beam.Scope, spec transforms.Spec, records beam.PCollection) beam.PCollection {
	return transforms.Sessions(s, spec, records)
}
