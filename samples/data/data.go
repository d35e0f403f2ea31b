// Package data holds the recorded clickstreams that the demo and the tests
// replay, in the form in which their publishers gave them out. README.md says
// whose they are. Package samples/convert turns them into Segment-spec events.
package data

import (
	"compress/gzip"
	"embed"
	"fmt"
	"io"
)

//go:embed rees46/*.gz wikipedia_readers/*.gz snowplow_web/*.gz otto/*.gz
var files embed.FS

// Open opens a file by its path in this folder without ".gz", such as
// "rees46/events.csv", uncompressed.
func Open(path string) (io.ReadCloser, error) {
	f, err := files.Open(path + ".gz")
	if err != nil {
		return nil, fmt.Errorf("opening the recorded data: %w", err)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("opening the recorded data %s: %w", path, err)
	}
	return z, nil // f is memory and needs no closing
}
