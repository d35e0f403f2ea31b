package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// item is one record of an input. Raw is valid during the call only.
type item struct {
	line   int // where it begins
	raw    []byte
	broken string // why it can be none, where that is known before it is read
}

// Limits of one record. The log refuses batches above 1 MiB, and one record is
// at least one batch. A value may be a batch of many events.
const (
	maxLine  = 1_000_000
	maxValue = 64 << 20
)

func trim(line []byte) []byte { return bytes.Trim(line, " \t\r\x1e\x00") }

// split calls f with every record of the input.
func (i *input) split(f func(item) error) error {
	how, err := i.form()
	if err != nil {
		return err
	}
	if how == formLines {
		err = lines(i.Reader, f)
	} else {
		err = (&values{in: i.Reader, line: 1, f: f}).split()
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("reading %s: it is cut off: the packed data ends too early; what came before was taken: %w",
			i.name, err)
	}
	return err
}

// lines calls f with each line that is not blank. A line that is too long is
// never held as a whole.
func lines(in *bufio.Reader, f func(item) error) error {
	var long []byte // of a line that is longer than the reader's buffer
	for n := 1; ; n++ {
		part, err := in.ReadSlice('\n')
		size := len(part)
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long[:0], part...)
			for errors.Is(err, bufio.ErrBufferFull) {
				part, err = in.ReadSlice('\n')
				if size += len(part); size <= maxValue {
					long = append(long, part...)
				}
			}
			part = long
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("reading the events: %w", err)
		}
		it := item{line: n, raw: trim(bytes.TrimSuffix(part, []byte("\n")))}
		if size > maxValue {
			it = item{line: n, broken: fmt.Sprintf("it is %d bytes long", size)}
		}
		if len(it.raw) > 0 || it.broken != "" {
			if err := f(it); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// values finds JSON objects in a row, over any number of lines, with white
// space or commas between them, or as the elements of arrays.
type values struct {
	in    *bufio.Reader
	line  int
	f     func(item) error
	begun int  // the line of the value that is being read
	depth int  // of brackets within it
	quote bool // in a string
	slash bool // behind a backslash in it
	buf   []byte
}

func (v *values) split() error {
	for {
		c, err := v.in.ReadByte()
		if err == io.EOF {
			return v.end()
		}
		if err != nil {
			return fmt.Errorf("reading the events: %w", err)
		}
		if err := v.take(c); err != nil {
			return err
		}
		if c == '\n' {
			v.line++
		}
	}
}

// take moves on by a byte.
func (v *values) take(c byte) error {
	if len(v.buf) == 0 {
		switch c {
		case ' ', '\t', '\r', '\n', ',', '[', ']', rs, 0:
			return nil // between values
		}
		v.begun, v.depth, v.quote, v.slash = v.line, 0, false, false
	}
	if v.quote && c == '\n' {
		// No string goes on in the next line: the value is cut off, and the next
		// one begins in a line of its own.
		return v.give("a string without an end")
	}
	v.buf = append(v.buf, c)
	if len(v.buf) > maxValue {
		return v.give(fmt.Sprintf("a value of more than %d bytes", maxValue))
	}
	switch {
	case v.slash:
		v.slash = false
	case v.quote:
		v.slash, v.quote = c == '\\', c != '"'
	case c == '"':
		v.quote = true
	case c == '{' || c == '[':
		v.depth++
	case (c == '}' || c == ']') && v.depth > 0:
		if v.depth--; v.depth == 0 {
			return v.give("")
		}
	case v.depth == 0 && (c == ',' || c == ']' || c == '\n'):
		v.buf = v.buf[:len(v.buf)-1]
		return v.give("")
	}
	return nil
}

// give hands on what has been read.
func (v *values) give(broken string) error {
	it := item{line: v.begun, raw: trim(v.buf), broken: broken}
	err := v.f(it)
	v.buf, v.quote = v.buf[:0], false
	return err
}

func (v *values) end() error {
	if len(v.buf) == 0 {
		return nil
	}
	if v.depth > 0 || v.quote {
		return v.give("the input ends within it")
	}
	return v.give("")
}

// valueEnd is where the brackets and strings of the value at the beginning of b
// close; false when they do not.
func valueEnd(b []byte) (int, bool) {
	v := values{f: func(item) error { return errEnd }}
	for i, c := range b {
		if v.take(c) != nil {
			return i + 1, true
		}
	}
	return 0, false
}

var errEnd = errors.New("the end of the value")
