package identity

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/microseg/microseg/event/codec"
)

// Origin is the record that a record of the topic by device is a copy of.
type Origin struct {
	Known     bool // it is a copy
	Partition int32
	Offset    int64
}

// String is the form that a copy's header has.
func (o Origin) String() string { return fmt.Sprintf("%d/%d", o.Partition, o.Offset) }

// ReadOrigin reads what String made; of anything else nothing is known.
func ReadOrigin(b []byte) Origin {
	partition, offset, _ := strings.Cut(string(b), "/")
	p, err1 := strconv.ParseInt(partition, 10, 32)
	o, err2 := strconv.ParseInt(offset, 10, 64)
	if err1 != nil || err2 != nil || p < 0 || o < 0 {
		return Origin{}
	}
	return Origin{true, int32(p), o}
}

// AppendTo writes the origin.
func (o Origin) AppendTo(w *codec.Writer) {
	if w.Bool(o.Known); o.Known {
		w.Int(int64(o.Partition))
		w.Int(o.Offset)
	}
}

// ReadOriginFrom reads what AppendTo wrote.
func ReadOriginFrom(r *codec.Reader) (o Origin) {
	if o.Known = r.Bool(); o.Known {
		o.Partition, o.Offset = int32(r.Int()), r.Int()
	}
	return o
}

// copyAt is a record of a batch that is one.
type copyAt struct {
	Place
	of Origin
}

// copies finds the batch's records that are copies of what was copied before: who
// copies begins anew a little before where another one was killed. They count as
// duplicates and do nothing else. Of each partition of the topic that is copied, the
// copies in one partition come in order, but for such new beginnings.
func (s *Shard) copies(b *Batch, skip map[int32]int64) map[Place]bool {
	var all []copyAt
	for i := range b.Events {
		if e := &b.Events[i]; e.HasOrigin && e.Offset > skip[e.Partition] {
			all = append(all, copyAt{Place{e.Partition, e.Offset}, Origin{true, e.OriginPartition, e.OriginOffset}})
		}
	}
	for i := range b.Dead {
		if d := &b.Dead[i]; d.Origin.Known && d.Offset > skip[d.Partition] {
			all = append(all, copyAt{Place{d.Partition, d.Offset}, d.Origin})
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b copyAt) int {
		return cmp.Or(cmp.Compare(a.Place.Partition, b.Place.Partition), cmp.Compare(a.Place.Offset, b.Place.Offset))
	})
	var again map[Place]bool
	for _, c := range all {
		q := s.parts[c.Place.Partition]
		if q.copied == nil {
			q.copied = map[int32]int64{}
		}
		if last, seen := q.copied[c.of.Partition]; seen && c.of.Offset <= last {
			if again == nil {
				again = map[Place]bool{}
			}
			again[c.Place] = true
			q.Counts.Read++
			q.Counts.Duplicate++
			continue
		}
		q.copied[c.of.Partition] = c.of.Offset
	}
	return again
}

func appendCopied(w *codec.Writer, m map[int32]int64) {
	w.Uint(uint64(len(m)))
	for _, p := range slices.Sorted(maps.Keys(m)) {
		w.Int(int64(p))
		w.Int(m[p])
	}
}

func readCopied(r *codec.Reader) (m map[int32]int64) {
	for range r.Len() {
		if m == nil {
			m = map[int32]int64{}
		}
		p := int32(r.Int())
		m[p] = r.Int()
	}
	return m
}
