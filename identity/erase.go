package identity

import (
	"container/heap"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// erase applies a tombstone: whatever is known of the device, in all of its
// epochs, goes, as of the partition's data clock, and each user that it is or
// was linked to loses it. The clock itself does not move.
func (s *Shard) erase(q *Partition, e *event.Event, out *Output) {
	q.Counts.Read++
	q.Counts.Good++
	if d := s.devices[e.Device]; d != nil && !q.isHome(d) {
		_, q = s.homeOf(d)
	}
	d := s.present(q, e.Device, out)
	users := s.usersOf(e)
	var profile *session.Profile
	if d != nil {
		profile = &d.Profile
	}
	out.Erased(e.Device, profile, q.Clock)
	s.drop(e.Device)
	q.unlearn(e.Device)
	for _, u := range users {
		s.vector = session.Vector{Device: e.Device, User: u, Version: session.Version{Generation: s.p.Generation, Offset: e.Offset}, Retract: true, Erased: true, At: q.Clock}
		out.Vector(&s.vector, e)
	}
}

// usersOf are the users that a tombstone is about, sorted: its own, and those of
// the device's epochs.
func (s *Shard) usersOf(e *event.Event) (users []string) {
	add := func(u string) {
		if u != "" {
			users = append(users, strings.Clone(u))
		}
	}
	add(e.User)
	for _, d := range s.epochs(e.Device) {
		add(d.userID())
	}
	for _, f := range s.former[e.Device] {
		users = append(users, f.user)
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// epochs are all that the shard holds of a device: the agenda has them, also
// what the retention has hidden and what still waits for its last row.
func (s *Shard) epochs(id string) (out []*device) {
	for _, q := range s.parts {
		for _, d := range q.agenda {
			if d.id == id {
				out = append(out, d)
			}
		}
	}
	return out
}

// drop takes a device out with everything that waits for it.
func (s *Shard) drop(id string) {
	d := s.devices[id]
	delete(s.devices, id)
	delete(s.past, id)
	delete(s.former, id)
	for _, q := range s.parts {
		q.unrank(d)
		for i := len(q.agenda) - 1; i >= 0; i-- {
			if d := q.agenda[i]; d.id == id {
				d.dirty, d.past = false, true
				heap.Remove(&q.agenda, i)
				i = len(q.agenda) // another one has moved to i
			}
		}
	}
	s.held = slices.DeleteFunc(s.held, func(h held) bool { return h.device.id == id })
	s.dirty = slices.DeleteFunc(s.dirty, func(y dirty) bool { return y.device.id == id })
}

// Erasure is a part of the log that must not be taken again: the records of a
// device before its tombstone, or a single record. The topic of erasures has one
// a record; what it says of whom is a hash.
type Erasure struct {
	Partition int32
	Offset    int64  // of the tombstone; of the record itself where Device is empty
	Device    string `json:",omitempty"` // HashDevice
}

// ErasedTopic is the name of the topic of erasures that belongs to a topic of events.
func ErasedTopic(events string) string { return events + "-erased" }

// HashDevice names a device where its id must not be kept.
func HashDevice(id string) string {
	h := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(h[:12])
}

// Record is the erasure as a record of a compacted topic: of one device and
// partition only the last counts.
func (e *Erasure) Record() (key, value []byte) {
	offset := strconv.FormatInt(e.Offset, 10)
	if e.Device == "" {
		return fmt.Appendf(nil, "%d/@%s", e.Partition, offset), []byte(offset)
	}
	return fmt.Appendf(nil, "%d/%s", e.Partition, e.Device), []byte(offset)
}

// ReadErasure reads what Record made.
func ReadErasure(key, value []byte) (e Erasure, err error) {
	partition, device, ok := strings.Cut(string(key), "/")
	p, err1 := strconv.ParseInt(partition, 10, 32)
	offset, err2 := strconv.ParseInt(string(value), 10, 64)
	if !ok || device == "" || err1 != nil || err2 != nil || p < 0 || offset < 0 {
		return e, fmt.Errorf("reading an erasure: %q = %q is none; the topic is the job's own, nobody else may write to it", key, value)
	}
	e = Erasure{Partition: int32(p), Offset: offset}
	if device[0] != '@' {
		e.Device = device
	}
	return e, nil
}

// Erasures answers for each record of the log whether it was erased.
type Erasures struct {
	parts map[int32]*erased
}

type erased struct {
	end     int64            // no record from here on was erased
	devices map[string]int64 // by hash: the offset of the tombstone
	records map[int64]bool
}

// NewErasures indexes a list.
func NewErasures(list []Erasure) *Erasures {
	x := &Erasures{parts: map[int32]*erased{}}
	for _, e := range list {
		p := x.parts[e.Partition]
		if p == nil {
			p = &erased{devices: map[string]int64{}, records: map[int64]bool{}}
			x.parts[e.Partition] = p
		}
		if e.Device == "" {
			p.records[e.Offset] = true
			p.end = max(p.end, e.Offset+1)
			continue
		}
		p.devices[e.Device] = max(p.devices[e.Device], e.Offset)
		p.end = max(p.end, e.Offset)
	}
	return x
}

// Has reports whether the record of a device was erased; a record of nobody has
// an empty device.
func (x *Erasures) Has(partition int32, offset int64, device string) bool {
	p := x.parts[partition]
	if p == nil || offset >= p.end {
		return false
	}
	return p.records[offset] || device != "" && offset < p.devices[HashDevice(device)]
}
