package replay

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// input is what is replayed, decompressed, and how much of the file is read.
type input struct {
	io.Reader
	raw   *counter
	close []func() error
}

// Read64 is how many bytes of the (compressed) file have been read.
func (i *input) Read64() int64 { return i.raw.n.Load() }

// Close closes in the reverse order of opening. Everything has been read or
// given up by then, so that errors say nothing.
func (i *input) Close() {
	for n := len(i.close) - 1; n >= 0; n-- {
		_ = i.close[n]()
	}
}

type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// open opens what o names. Size is that of the file, 0 where not known.
func open(o Options) (in *input, size int64, err error) {
	if o.Reader != nil || o.Path == "-" {
		c := &counter{r: o.Reader}
		if o.Reader == nil {
			c.r = os.Stdin
		}
		return &input{Reader: c, raw: c}, 0, nil
	}
	file, err := os.Open(o.Path)
	if err != nil {
		return nil, 0, fmt.Errorf("opening the events: %w", err)
	}
	c := &counter{r: file}
	in = &input{Reader: c, raw: c, close: []func() error{file.Close}}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	if err := in.decompress(o.Path); err != nil {
		in.Close()
		return nil, 0, fmt.Errorf("decompressing %s: %w", o.Path, err)
	}
	return in, size, nil
}

func (i *input) decompress(path string) error {
	switch {
	case strings.HasSuffix(path, ".gz"):
		z, err := gzip.NewReader(i.raw)
		if err != nil {
			return err
		}
		i.Reader, i.close = z, append(i.close, z.Close)
	case strings.HasSuffix(path, ".zst"):
		z, err := zstd.NewReader(i.raw)
		if err != nil {
			return err
		}
		i.Reader, i.close = z, append(i.close, func() error { z.Close(); return nil })
	}
	return nil
}

// OpenFile opens a file of events as Run does: by name also .gz and .zst, "-"
// for standard input. What it returns reads uncompressed.
func OpenFile(path string) (io.ReadCloser, error) {
	in, _, err := open(Options{Path: path})
	if err != nil {
		return nil, err
	}
	return closer{in}, nil
}

type closer struct{ *input }

func (c closer) Close() error { c.input.Close(); return nil }
