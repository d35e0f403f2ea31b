package replay

import (
	"bytes"
	"io"
	"slices"
	"time"

	"github.com/go-faster/jx"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ident is what a replay has to know of an event.
type ident struct {
	key []byte // anonymousId, else userId; nil where there is neither
	at  int64  // timestamp in ms since the epoch; 0 where there is none
}

// identify reads the event's key and, where timed, its timestamp. A line that
// is no JSON object has neither: the pipeline is to judge it, not the replay.
func identify(line []byte, timed bool) ident {
	var anonymous, user, stamp []byte
	d := jx.DecodeBytes(line)
	err := d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		var into *[]byte
		switch string(key) {
		case "anonymousId":
			into = &anonymous
		case "userId":
			into = &user
		case "timestamp":
			into = &stamp
		}
		if into == nil || d.Next() != jx.String {
			return d.Skip()
		}
		var err error
		*into, err = d.StrAppend((*into)[:0])
		return err
	})
	if err != nil {
		return ident{}
	}
	id := ident{key: anonymous}
	if len(id.key) == 0 {
		id.key = user
	}
	if timed {
		if t, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil {
			id.at = t.UnixMilli()
		}
	}
	return id
}

func trim(line []byte) []byte { return bytes.TrimRight(bytes.TrimLeft(line, " \t"), " \t\r") }

// sorted calls f with all lines in the order of their timestamps; lines of the
// same time keep their order. A line without a timestamp stays behind the line
// that it followed.
func sorted(in io.Reader, f func([]byte, ident) error) error {
	type timedLine struct {
		line []byte
		id   ident
	}
	var all []timedLine
	var last int64
	err := lines(in, func(line []byte) error {
		id := identify(line, true)
		if id.at == 0 {
			id.at = last
		}
		last = id.at
		all = append(all, timedLine{bytes.Clone(line), id})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b timedLine) int { return int(a.id.at - b.id.at) })
	for _, l := range all {
		if err := f(l.line, l.id); err != nil {
			return err
		}
	}
	return nil
}

// slab hands out records and their bytes from large blocks: at 500,000
// events/s one allocation a record is what the replay would spend its time on.
type slab struct {
	records []kgo.Record
	bytes   []byte
}

// record copies value and key into a record that the client may keep.
func (s *slab) record(value, key []byte) *kgo.Record {
	if len(s.records) == 0 {
		s.records = make([]kgo.Record, 512)
	}
	r := &s.records[0]
	s.records = s.records[1:]
	r.Value = s.copy(value)
	if len(key) > 0 {
		r.Key = s.copy(key)
	}
	return r
}

func (s *slab) copy(b []byte) []byte {
	if cap(s.bytes)-len(s.bytes) < len(b) {
		s.bytes = make([]byte, 0, max(256<<10, len(b)))
	}
	from := len(s.bytes)
	s.bytes = append(s.bytes, b...)
	return s.bytes[from:len(s.bytes):len(s.bytes)]
}
