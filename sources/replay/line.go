package replay

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sorted calls f with all records in the order of their times; records of the
// same time keep their order. One without a time stays behind the one that it
// followed.
func sorted(each func(func(item, ident) error) error, f func(item, ident) error) error {
	type timed struct {
		item
		ident
		at int64
	}
	var all []timed
	var last int64
	err := each(func(it item, id ident) error {
		if id.at > 0 {
			last = id.at
		}
		it.raw = bytes.Clone(it.raw)
		all = append(all, timed{it, id, last})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b timed) int { return cmp.Compare(a.at, b.at) })
	for _, t := range all {
		if err := f(t.item, t.ident); err != nil {
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

// fromFile says that whoever has the files may say who visitors are.
var fromFile = []kgo.RecordHeader{{Key: event.TrustHeader, Value: []byte(event.Server.String())}}

// record copies value and key into a record that the client may keep.
func (s *slab) record(value []byte, key string) *kgo.Record {
	if len(s.records) == 0 {
		s.records = make([]kgo.Record, 512)
	}
	r := &s.records[0]
	s.records = s.records[1:]
	r.Value, r.Headers = s.copy(value), fromFile
	if len(key) > 0 {
		r.Key = s.copy([]byte(key))
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
