// Package codec writes and reads the compact binary form of decoded state:
// varints, floats as bits, length-prefixed strings. The reader keeps the first
// error, so that a decoder checks once, at the end.
package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrCorrupt says that the bytes are not what the writer made.
var ErrCorrupt = errors.New("decoding state: bytes are truncated or corrupt")

// Writer appends values to a buffer.
type Writer struct{ B []byte }

// Int appends a signed varint.
func (w *Writer) Int(v int64) { w.B = binary.AppendVarint(w.B, v) }

// Uint appends an unsigned varint.
func (w *Writer) Uint(v uint64) { w.B = binary.AppendUvarint(w.B, v) }

// Fixed appends 8 bytes: hashes do not shrink as varints.
func (w *Writer) Fixed(v uint64) { w.B = binary.LittleEndian.AppendUint64(w.B, v) }

// PutFixed overwrites the 8 bytes that Fixed wrote at position at.
func (w *Writer) PutFixed(at int, v uint64) { binary.LittleEndian.PutUint64(w.B[at:], v) }

// Float appends the bits of a float; a zero takes one byte.
func (w *Writer) Float(v float64) {
	if v == 0 {
		w.B = append(w.B, 0)
		return
	}
	w.B = append(w.B, 1)
	w.B = binary.LittleEndian.AppendUint64(w.B, math.Float64bits(v))
}

// Byte appends one byte.
func (w *Writer) Byte(v byte) { w.B = append(w.B, v) }

// Bool appends one byte, 0 or 1.
func (w *Writer) Bool(v bool) {
	if v {
		w.B = append(w.B, 1)
	} else {
		w.B = append(w.B, 0)
	}
}

// String appends the length and the bytes.
func (w *Writer) String(s string) {
	w.Uint(uint64(len(s)))
	w.B = append(w.B, s...)
}

// Bytes appends the length and the bytes.
func (w *Writer) Bytes(s []byte) {
	w.Uint(uint64(len(s)))
	w.B = append(w.B, s...)
}

// Sparse appends a slice of floats as a bitmap of the non-zero ones and their bits.
func (w *Writer) Sparse(v []float64) {
	w.Uint(uint64(len(v)))
	for i := 0; i < len(v); i += 8 {
		at := len(w.B)
		w.B = append(w.B, 0)
		var mask byte
		for j := i; j < min(i+8, len(v)); j++ {
			if v[j] != 0 {
				mask |= 1 << (j - i)
				w.B = binary.LittleEndian.AppendUint64(w.B, math.Float64bits(v[j]))
			}
		}
		w.B[at] = mask
	}
}

// Reader takes values from the front of B, and from what More brings behind it.
type Reader struct {
	B    []byte
	More func() ([]byte, error) // the next bytes, none at the end; nil: B is all
	err  error
}

// Err is the first error, ErrCorrupt or nil.
func (r *Reader) Err() error { return r.err }

// Fail makes the reader report ErrCorrupt: what it read cannot be.
func (r *Reader) Fail() {
	if r.err == nil {
		r.err = ErrCorrupt
	}
	r.B, r.More = nil, nil
}

// maxAhead bounds a length or count that nothing says is too large, as More brings bytes.
const maxAhead = 1 << 31

// fill brings n bytes into B, if there are so many. What was taken stays as it is.
func (r *Reader) fill(n int) {
	for len(r.B) < n && r.More != nil {
		more, err := r.More()
		if err != nil {
			r.err = err
			r.Fail()
			return
		}
		if len(more) == 0 {
			r.More = nil
			return
		}
		r.B = append(r.B[:len(r.B):len(r.B)], more...)
	}
}

// most is the largest length or count that the bytes may hold, each of which says per of.
func (r *Reader) most(per uint64) uint64 {
	if r.More != nil {
		return maxAhead
	}
	return per * uint64(len(r.B))
}

// Int reads a signed varint.
func (r *Reader) Int() int64 {
	r.fill(binary.MaxVarintLen64)
	v, n := binary.Varint(r.B)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Uint reads an unsigned varint.
func (r *Reader) Uint() uint64 {
	r.fill(binary.MaxVarintLen64)
	v, n := binary.Uvarint(r.B)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Len reads a length or count, refused when more than the remaining bytes could hold.
func (r *Reader) Len() int {
	v := r.Uint()
	if v > r.most(1) {
		r.Fail()
		return 0
	}
	return int(v)
}

func (r *Reader) take(n int) []byte {
	if r.fill(n); len(r.B) < n {
		r.Fail()
		return nil
	}
	b := r.B[:n]
	r.B = r.B[n:]
	return b
}

// Fixed reads 8 bytes.
func (r *Reader) Fixed() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Float reads a float.
func (r *Reader) Float() float64 {
	if r.Byte() == 0 {
		return 0
	}
	return math.Float64frombits(r.Fixed())
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// Bool reads one byte.
func (r *Reader) Bool() bool { return r.Byte() != 0 }

// String reads a string.
func (r *Reader) String() string { return string(r.take(r.Len())) }

// Bytes reads bytes; they alias the reader's buffer.
func (r *Reader) Bytes() []byte { return r.take(r.Len()) }

// Sparse reads what Writer.Sparse wrote into dst, grown if needed.
func (r *Reader) Sparse(dst []float64) []float64 {
	n := r.Uint()
	if n > r.most(8) {
		r.Fail()
		return nil
	}
	if uint64(cap(dst)) < n {
		dst = make([]float64, n)
	}
	dst = dst[:n]
	for i := 0; i < len(dst); i += 8 {
		mask := r.Byte()
		for j := i; j < min(i+8, len(dst)); j++ {
			dst[j] = 0
			if mask&(1<<(j-i)) != 0 {
				dst[j] = math.Float64frombits(r.Fixed())
			}
		}
	}
	return dst
}

// VersionError says that a snapshot was written by another version of the code.
type VersionError struct {
	What      string
	Got, Want int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("reading the snapshot of a %s: its schema version is %d and this binary reads %d; start the binary that wrote it, or rebuild from the log", e.What, e.Got, e.Want)
}
