// Package convert turns recorded clickstreams of other formats into
// Segment-spec events, one JSON object a line.
//
// Events keep the order of their source; `microseg replay --sort` orders them
// by time. A format's file documents what each column becomes; columns that
// are not mentioned there are ignored.
package convert

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/microseg/microseg/samples/data"
)

// Options steer a conversion.
type Options struct {
	// Device says what becomes the anonymousId: "" or "user" for the source's
	// visitor, "session" for the source's own session, so that grouping by
	// devices reproduces the source's sessions.
	Device string
}

// format is a source format: the function that reads it, and the sample of it
// that package data carries.
type format struct {
	convert func(src io.Reader, o Options, emit func(*Event) error) error
	sample  string
}

var formats = map[string]format{
	"rees46":    {rees46, "rees46/events.csv"},
	"wikipedia": {wikipedia, "wikipedia_readers/events.csv"},
	"snowplow":  {snowplow, "snowplow_web/events.csv"},
	"otto":      {otto, "otto/sample.jsonl"},
}

// Formats lists the names that Convert and Open know, sorted.
func Formats() []string { return slices.Sorted(maps.Keys(formats)) }

// Convert reads src, which is of the named format and uncompressed, and writes
// JSON lines to dst. It returns the number of events written.
func Convert(name string, src io.Reader, dst io.Writer, o Options) (n int, err error) {
	f, err := find(name, o)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(dst, 1<<16)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	err = f.convert(src, o, func(e *Event) error {
		n++
		return enc.Encode(e)
	})
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return n, fmt.Errorf("converting %s after %d events: %w", name, n, err)
	}
	return n, nil
}

func find(name string, o Options) (format, error) {
	f, ok := formats[name]
	if !ok {
		return f, fmt.Errorf("converting: there is no format %q, only %s", name, strings.Join(Formats(), ", "))
	}
	if !slices.Contains([]string{"", "user", "session"}, o.Device) {
		return f, fmt.Errorf("converting %s: device %q is neither user nor session", name, o.Device)
	}
	return f, nil
}

// Open converts the sample of a format that the project carries, on the fly:
// what it returns reads as JSON lines. "<format>-sessions" is the same with
// Options.Device "session". Close it, also before its end.
func Open(name string) (io.ReadCloser, error) {
	var o Options
	base, sessions := strings.CutSuffix(name, "-sessions")
	if sessions {
		o.Device = "session"
	}
	f, err := find(base, o)
	if err != nil {
		return nil, err
	}
	src, err := data.Open(f.sample)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		defer src.Close()
		_, err := Convert(base, src, w, o)
		w.CloseWithError(err)
	}()
	return r, nil
}
