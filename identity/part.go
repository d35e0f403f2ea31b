package identity

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
)

// History is what the log holds of a device: what `microseg deadletters replay`
// has read and a device shard makes the device anew from.
type History struct {
	Receipt string    // of the replay
	End     int64     // offset of the partition behind the last one that was read
	Clock   DataClock // of the partition there
	Cut     bool      // the device is made anew even where it remembers what the log no longer holds
	Records []Past
}

// Past is a record of the device.
type Past struct {
	Record
	Clock  DataClock // of the partition before the record
	Letter bool      // it was a dead letter
	Placed bool      // and a replay has taken it in its place before
}

// Part is a piece of a history, as much as one record of the log has room for.
type Part struct {
	Number, Of int
	End        int64 // as in History: the parts and what came meanwhile are behind it
	Clock      DataClock
	version    byte
	data       []byte
}

// partVersion is the first byte of a part; a newer one is refused. Version 2 knew of no
// device that is ahead of the data clock, 1 knew no trusts.
const (
	partVersion = 3
	clockless   = 2
	untrusted   = 1
)

// maxHistory bounds the bytes of a history before it is compressed.
const maxHistory = 256 << 20

// ErrLongHistory says that the log holds more of a device than is made anew at once.
var ErrLongHistory = fmt.Errorf("the log holds more than %d MB of the device; start the job with --rebuild to make all states anew", maxHistory>>20)

// Parts encodes the history in payloads of about size bytes.
func (h *History) Parts(size int) ([][]byte, error) {
	var w codec.Writer
	w.String(h.Receipt)
	h.Clock.appendTo(&w)
	w.Bool(h.Cut)
	w.Uint(uint64(len(h.Records)))
	for i := range h.Records {
		r := &h.Records[i]
		w.Int(r.Offset)
		w.Int(r.Append)
		r.Clock.appendTo(&w)
		w.Bool(r.Letter)
		w.Bool(r.Placed)
		w.Byte(byte(r.Trust))
		w.Bytes(r.Value)
		if len(w.B) > maxHistory {
			return nil, ErrLongHistory
		}
	}
	var packed bytes.Buffer
	z, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err == nil {
		if _, err = z.Write(w.B); err == nil {
			err = z.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("packing what the log holds of a device: %w", err)
	}
	rest := packed.Bytes()
	n := max(1, (len(rest)+size-1)/size)
	var parts [][]byte
	for i := range n {
		piece := rest[:min(size, len(rest))]
		rest = rest[len(piece):]
		w := codec.Writer{}
		w.Byte(partVersion)
		w.Uint(uint64(i))
		w.Uint(uint64(n))
		w.Int(h.End)
		h.Clock.appendTo(&w)
		w.B = append(w.B, piece...)
		parts = append(parts, w.B)
	}
	return parts, nil
}

// ReadPart reads a payload; the part aliases it.
func ReadPart(payload []byte) (p Part, err error) {
	r := codec.Reader{B: payload}
	if p.version = r.Byte(); r.Err() == nil && (p.version < untrusted || p.version > partVersion) {
		return p, &codec.VersionError{What: "part of a history", Got: int(p.version), Want: partVersion}
	}
	n, of := r.Uint(), r.Uint()
	if p.End = r.Int(); p.version > clockless {
		p.Clock = readDataClock(&r, true)
	}
	p.data = r.B
	if n >= of || of > maxHistory || p.End < 0 {
		r.Fail()
	}
	p.Number, p.Of = int(n), int(of)
	return p, r.Err()
}

var errParts = errors.New("the parts of a history are not all there, or not of one")

// ReadHistory puts the parts of a device's history in partition together; they are
// in the order of their numbers.
func ReadHistory(partition int32, parts []Part) (*History, error) {
	var packed []byte
	for i, p := range parts {
		if p.Number != i || p.Of != len(parts) || p.End != parts[0].End || p.version != parts[0].version {
			return nil, errParts
		}
		packed = append(packed, p.data...)
	}
	if len(parts) == 0 {
		return nil, errParts
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxHistory+1))
	if err != nil {
		return nil, fmt.Errorf("unpacking the history of a device: %w", err)
	}
	if len(text) > maxHistory {
		return nil, ErrLongHistory
	}
	r := codec.Reader{B: text}
	led := parts[0].version > clockless
	h := &History{Receipt: r.String(), End: parts[0].End, Clock: readDataClock(&r, led), Cut: r.Bool()}
	last := int64(-1)
	for range r.Len() {
		p := Past{Record: Record{Partition: partition, Offset: r.Int(), Append: r.Int()}, Clock: readDataClock(&r, led), Letter: r.Bool(), Placed: r.Bool()}
		if parts[0].version > untrusted {
			p.Trust = event.Trust(r.Byte())
		}
		if p.Value = r.Bytes(); !p.Trust.Known() || p.Offset <= last || p.Offset >= h.End {
			r.Fail()
		}
		if r.Err() != nil {
			return nil, r.Err()
		}
		last = p.Offset
		h.Records = append(h.Records, p)
	}
	return h, r.Err()
}
