package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Erasure is a part of the log that must not be taken again: the records of a
// device before its tombstone, a user's epoch of it, a user's name in them, or a single
// record. The topic of erasures has one a record; what it says of whom are hashes.
type Erasure struct {
	Partition int32
	Offset    int64  // of the tombstone; of the record itself where Device is empty
	Device    string `json:",omitempty"` // HashDevice
	User      string `json:",omitempty"` // HashDevice of a user: only the user's records from From on, below To; others are somebody else's
	From      int64  `json:",omitempty"`
	To        int64  `json:",omitempty"` // 0: no record, only the user's name in those of the device
}

// ErasedTopic is the name of the topic of erasures that belongs to a topic of events.
func ErasedTopic(events string) string { return events + "-erased" }

// HashDevice names a device, or a user, where its id must not be kept.
func HashDevice(id string) string {
	h := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(h[:12])
}

// Record is the erasure as a record of a compacted topic: of one device and
// partition, and of one epoch, only the last counts.
func (e *Erasure) Record() (key, value []byte) {
	offset := strconv.FormatInt(e.Offset, 10)
	switch {
	case e.Device == "":
		key = fmt.Appendf(nil, "%d/@%s", e.Partition, offset)
	case e.User == "":
		key = fmt.Appendf(nil, "%d/%s", e.Partition, e.Device)
	case e.To == 0:
		key = fmt.Appendf(nil, "%d/%s/%s", e.Partition, e.Device, e.User)
	default:
		key = fmt.Appendf(nil, "%d/%s/%s/%d/%d", e.Partition, e.Device, e.User, e.From, e.To)
	}
	return key, []byte(offset)
}

// ReadErasure reads what Record made.
func ReadErasure(key, value []byte) (e Erasure, err error) {
	parts := strings.Split(string(key), "/")
	p, err1 := strconv.ParseInt(parts[0], 10, 32)
	offset, err2 := strconv.ParseInt(string(value), 10, 64)
	ok := err1 == nil && err2 == nil && p >= 0 && offset >= 0
	e = Erasure{Partition: int32(p), Offset: offset}
	switch {
	case len(parts) == 2 && ok && parts[1] != "":
		if parts[1][0] != '@' {
			e.Device = parts[1]
		}
		return e, nil
	case len(parts) < 3 || !ok || parts[1] == "" || parts[1][0] == '@' || parts[2] == "":
	case len(parts) == 3:
		e.Device, e.User = parts[1], parts[2]
		return e, nil
	case len(parts) == 5:
		e.Device, e.User = parts[1], parts[2]
		e.From, err1 = strconv.ParseInt(parts[3], 10, 64)
		e.To, err2 = strconv.ParseInt(parts[4], 10, 64)
		if err1 == nil && err2 == nil && 0 <= e.From && e.From < e.To && e.To <= offset {
			return e, nil
		}
	}
	return Erasure{}, fmt.Errorf("reading an erasure: %q = %q is none; the topic is the job's own, nobody else may write to it", key, value)
}

// Erasures answers for each record of the log whether it was erased.
type Erasures struct {
	parts map[int32]*erased
}

type erased struct {
	end     int64                // no record from here on was erased
	devices map[string]int64     // by hash: the offset of the tombstone
	users   map[string][]Erasure // by hash, of devices that others used, too
	records map[int64]bool
}

// NewErasures indexes a list.
func NewErasures(list []Erasure) *Erasures {
	x := &Erasures{parts: map[int32]*erased{}}
	for _, e := range list {
		p := x.parts[e.Partition]
		if p == nil {
			p = &erased{devices: map[string]int64{}, users: map[string][]Erasure{}, records: map[int64]bool{}}
			x.parts[e.Partition] = p
		}
		p.end = max(p.end, e.Offset)
		switch {
		case e.Device == "":
			p.records[e.Offset] = true
			p.end = max(p.end, e.Offset+1)
		case e.User == "":
			p.devices[e.Device] = max(p.devices[e.Device], e.Offset)
		default:
			p.users[e.Device] = append(p.users[e.Device], e)
		}
	}
	return x
}

// Erased is what is asked of a record.
type Erased struct {
	Place
	Device  string // empty: of nobody
	User    string // whom it names
	Control bool   // it is no behaviour
}

// Has reports whether the record was erased. Where its device has records of others, by
// names the user whose epoch is gone, as gapName does. What names somebody else is never of
// that epoch, and control records between those of a user stay: a log-out begins an
// epoch, or what came before would be the next user's. Where has is false by is what stands
// for the user whom the record names, whose name is gone.
func (x *Erasures) Has(r *Erased) (has bool, by string) {
	p := x.parts[r.Partition]
	switch {
	case p == nil || r.Offset >= p.end:
		return false, ""
	case r.Device == "":
		return p.records[r.Offset], ""
	}
	device := HashDevice(r.Device)
	if r.Offset < p.devices[device] {
		return true, ""
	}
	if r.Control || len(p.users[device]) == 0 {
		return p.records[r.Offset], ""
	}
	user := ""
	if r.User != "" {
		user = HashDevice(r.User)
	}
	for _, e := range p.users[device] {
		switch {
		case e.To == 0 && e.User == user && r.Offset < e.Offset:
			by = namelessPrefix + user
		case e.From <= r.Offset && r.Offset < e.To && (user == "" || user == e.User):
			return true, gapPrefix + e.User
		}
	}
	return p.records[r.Offset], by
}
