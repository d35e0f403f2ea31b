// Command convert converts a recorded clickstream to Segment-spec JSON lines:
//
//	go run ./cmd/convert --format rees46 2019-Oct.csv > events.jsonl
//	go run ./cmd/convert --format snowplow --device session --sample
//
// FILE may be "-" for standard input and may end in .gz or .zst; --sample
// converts the sample that the project carries.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/microseg/microseg/samples/convert"
	"github.com/microseg/microseg/sources/replay"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	format := flag.String("format", "", "format of the source: "+strings.Join(convert.Formats(), ", "))
	device := flag.String("device", "user", "what becomes the anonymousId: user or session (the source's own)")
	sample := flag.Bool("sample", false, "convert the sample that the project carries")
	flag.Parse()
	src, err := source(*format, *device, *sample)
	if err != nil {
		return err
	}
	defer src.Close()
	if *sample {
		_, err = io.Copy(os.Stdout, src)
		return err
	}
	n, err := convert.Convert(*format, src, os.Stdout, convert.Options{Device: *device})
	fmt.Fprintln(os.Stderr, n, "events")
	return err
}

func source(format, device string, sample bool) (io.ReadCloser, error) {
	if sample {
		if device == "session" {
			format += "-sessions"
		}
		return convert.Open(format)
	}
	if flag.NArg() != 1 {
		return nil, errors.New("usage: go run ./cmd/convert --format FORMAT [--device session] FILE|-|--sample")
	}
	return replay.OpenFile(flag.Arg(0))
}
