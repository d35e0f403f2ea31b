// Package pipelines holds the graphs; each reads like a table of contents.
package pipelines

import (
	"encoding/json"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/transforms"
)

// Live is the streaming job: clickstream in, rows out. It returns a
// PCollection<rows.Batch> of everything that goes to the record.
func Live(s beam.Scope, spec transforms.Spec, source kafkaio.Options) (beam.PCollection, error) {
	log, err := json.Marshal(kafkaio.Log{Brokers: source.Brokers, Topic: source.Topic})
	if err != nil {
		return beam.PCollection{}, fmt.Errorf("encoding the log's settings: %w", err)
	}
	records := kafkaio.Read(s, source)
	events := transforms.Decode(s, spec, records)
	vectors, deviceRows := transforms.Devices(s, spec, kafkaLog, log, events)
	counts, personRows := transforms.Persons(s, spec, vectors)
	audienceRows := transforms.Audience(s, spec, counts)
	return beam.Flatten(s, deviceRows, personRows, audienceRows), nil
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
