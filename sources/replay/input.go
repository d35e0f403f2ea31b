package replay

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// input is what is replayed, decompressed, and how much of the file is read.
type input struct {
	*bufio.Reader
	name  string // for messages
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

// window is how much of an input is looked at to tell what it is.
const window = 64 << 10

// open opens what o names and unpacks it. Size is that of the file, 0 where
// not known.
func open(o Options) (in *input, size int64, err error) {
	in = &input{name: o.name()}
	source := o.Reader
	switch {
	case source == nil && o.Path == "-":
		source = os.Stdin
	case source == nil:
		file, err := os.Open(o.Path)
		if err != nil {
			return nil, 0, fmt.Errorf("opening the events: %w", err)
		}
		in.close = append(in.close, file.Close)
		if info, err := file.Stat(); err == nil && info.IsDir() {
			in.Close()
			return nil, 0, &FormatError{in.name, "a directory",
				"name one file, or send several: `cat " + filepath.Join(o.Path, "*.jsonl") + " | microseg replay -`"}
		} else if err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		source = file
	}
	in.raw = &counter{r: source}
	in.Reader = bufio.NewReaderSize(in.raw, window)
	if err := in.decompress(); err != nil {
		in.Close()
		return nil, 0, err
	}
	return in, size, nil
}

func (o *Options) name() string {
	switch {
	case o.Reader != nil:
		return "input"
	case o.Path == "-":
		return "standard input"
	}
	return o.Path
}

// maxPacked is how often an input may be packed: a download is often packed by
// the server once more.
const maxPacked = 3

// decompress unpacks by the first bytes, whatever the name says: files get
// renamed, and downloads unpacked on the way.
func (i *input) decompress() error {
	for range maxPacked {
		head, err := i.Peek(8)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading %s: %w", i.name, err)
		}
		var unpacked io.Reader
		switch packing(head) {
		case "":
			return nil
		case "gzip":
			z, err := gzip.NewReader(i.Reader)
			if err != nil {
				return fmt.Errorf("decompressing %s: %w", i.name, err)
			}
			unpacked, i.close = z, append(i.close, z.Close)
		case "zstd":
			z, err := zstd.NewReader(i.Reader)
			if err != nil {
				return fmt.Errorf("decompressing %s: %w", i.name, err)
			}
			unpacked, i.close = z, append(i.close, func() error { z.Close(); return nil })
		case "bzip2":
			unpacked = bzip2.NewReader(i.Reader)
		}
		i.Reader = bufio.NewReaderSize(unpacked, window)
	}
	return nil
}

// OpenFile opens a file as Run does, unpacking gzip, zstd and bzip2, whatever
// is in it; "-" is standard input.
func OpenFile(path string) (io.ReadCloser, error) {
	in, _, err := open(Options{Path: path})
	if err != nil {
		return nil, err
	}
	return closer{in}, nil
}

type closer struct{ *input }

func (c closer) Close() error { c.input.Close(); return nil }

// Check opens a file and reads its beginning: the error is Run's, without a
// log. Of standard input and pipes nothing is known before they are read, which
// is possible once.
func Check(path string) error {
	if info, err := os.Stat(path); path == "-" || err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil
	}
	in, _, err := open(Options{Path: path})
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = in.form()
	return err
}
