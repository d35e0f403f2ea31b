// Package pipelines holds the graphs; each reads like a table of contents.
package pipelines

import (
	"encoding/json"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/transforms"
)

// Outputs are the PCollections that leave the job, one of each stage: written
// where they are made, rows and records never leave their bundle.
type Outputs struct {
	Rows    []beam.PCollection // of rows.Batch, for ClickHouse
	Records []beam.PCollection // of []byte, for the topic `segments`
}

// Live is the streaming job: clickstream in, rows and segments out.
//
// The source and the device stage come in lanes. One lane is enough for a runner
// that keeps the elements of a splittable DoFn apart, as ours does. Prism puts the shards of a
// lane into one bundle, where each waits for the others, so there each shard has
// a lane of its own.
func Live(s beam.Scope, spec transforms.Spec, source kafkaio.Options) (out Outputs, err error) {
	settings, err := json.Marshal(kafkaio.Log{Brokers: source.Brokers, Topic: source.Topic})
	if err != nil {
		return out, fmt.Errorf("encoding the log's settings: %w", err)
	}
	log := transforms.LogSpec{Name: kafkaLog, Settings: settings}
	var vectors, counts []beam.PCollection
	for lane := range source.Lanes {
		s := s.Scope(fmt.Sprintf("lane%d", lane))
		records := kafkaio.Read(s, source, lane)
		events := transforms.Decode(s, spec, records)
		v, c, rows, records := transforms.Devices(s, spec, log, events)
		vectors, counts = append(vectors, v), append(counts, c)
		out.add(rows, records)
	}
	c, rows, records := transforms.Persons(s, spec, flatten(s, vectors))
	counts = append(counts, c)
	out.add(rows, records)
	out.add(transforms.Audience(s, spec, flatten(s, counts)))
	return out, nil
}

func (o *Outputs) add(rows, records beam.PCollection) {
	o.Rows, o.Records = append(o.Rows, rows), append(o.Records, records)
}

func flatten(s beam.Scope, cols []beam.PCollection) beam.PCollection {
	if len(cols) == 1 {
		return cols[0]
	}
	return beam.Flatten(s, cols...)
}

const kafkaLog = "kafka"

func init() {
	transforms.RegisterLog(kafkaLog, func(settings []byte) transforms.LogReader {
		var l kafkaio.Log
		if json.Unmarshal(settings, &l) != nil {
			return nil // Live made the settings: they are its own encoding
		}
		return l
	})
}
