// Package redisio keeps the segment records of the topic `segments` in Redis,
// for sites that look up there: `GET <prefix>:<person key>` is a JSON object.
//
// Of several writers, and of writes out of order, the newest record wins, by
// event time and then by version, as in a serving node: a job that starts again
// from the log publishes its old decisions again. A script compares and sets in one step. What was deleted leaves a mark with its
// version, so that a late lower one does not bring a person back; the mark
// holds no content and goes after Config.Tombstone. The script touches two
// keys, so that this is for one Redis (with replicas), not for Redis Cluster.
package redisio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ActivationKey is the key of the record that says which nodes are active; it
// is kept without an expiry.
const ActivationKey = "a:"

// Record is one record of the topic `segments`.
type Record struct {
	Key     string // d:<device>, u:<user> or ActivationKey
	At      int64  // event time of the decision, ms: the later one wins
	Version uint64 // of equal times the higher one wins; 0 with a nil Value deletes any version
	Value   []byte // a JSON object without a member "version"; nil: forgotten
}

// order is the record's place among those of its key, as one decimal number:
// the time, then the version in 20 digits.
func (r Record) order() string {
	if o := strings.TrimLeft(fmt.Sprintf("%d%020d", max(0, r.At), r.Version), "0"); o != "" {
		return o
	}
	return "0"
}

// Profile is what a lookup reads about a person, beside the version. Times are
// ms since the epoch. Of a device that is linked only Linked is there, and where the
// configuration asks for no proofs User: look that up. What is served is the deepest of the activation record's paths on the way to Path.
type Profile struct {
	User      string         `json:"user,omitempty"`
	Path      string         `json:"path,omitempty"`
	Since     int64          `json:"since,omitempty"`
	Evaluated int64          `json:"evaluated"`
	Last      int64          `json:"last,omitempty"` // newest event
	Linked    bool           `json:"linked,omitempty"`
	Features  map[string]any `json:"features,omitempty"` // as of Evaluated
}

// Activation is the record at ActivationKey.
type Activation struct {
	Minute int64    `json:"minute"` // of event time, since the epoch
	Active []string `json:"active"` // paths that are served
}

// Record is the profile as the record of a person's key. It fails when a
// feature is nothing that JSON knows (a NaN, a channel).
func (p Profile) Record(key string, version uint64) (Record, error) {
	value, err := json.Marshal(p)
	if err != nil {
		return Record{}, fmt.Errorf("encoding the record of %s: %w", key, err)
	}
	return Record{Key: key, At: p.Evaluated, Version: version, Value: value}, nil
}

// Errors of Put and Flush.
var (
	ErrRecord = errors.New("a record needs a key, and a version with a JSON object as its value")
	ErrClosed = errors.New("the writer is closed")
)

// Config says where and how records are kept.
type Config struct {
	Addr   string        // host:port
	Prefix string        // of keys, before a colon; default "microseg"
	TTL    time.Duration // of persons after their last record: the retention; default 30 days
	// Tombstone is how long a deletion outlives writes that were under way; default 1 h.
	Tombstone time.Duration
	// Buffer is how many records may wait; Put blocks beyond it. Default 10,000.
	Buffer int
	// Timeout is of one pipeline, connection included; default 5 s.
	Timeout time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if c.Addr == "" {
		return c, errors.New("opening the Redis writer: the address is empty; give host:port")
	}
	if c.TTL < 0 || c.Tombstone < 0 || c.Timeout < 0 || c.Buffer < 0 {
		return c, errors.New("opening the Redis writer: TTL, tombstone, timeout and buffer must not be negative")
	}
	if c.Prefix == "" {
		c.Prefix = "microseg"
	}
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{{&c.TTL, 30 * 24 * time.Hour}, {&c.Tombstone, time.Hour}, {&c.Timeout, 5 * time.Second}} {
		if *d.at == 0 {
			*d.at = d.def
		}
	}
	if c.Buffer == 0 {
		c.Buffer = 10_000
	}
	return c, nil
}

// stored is the value in Redis, the version first, where the script reads it;
// empty for a deletion.
func (r Record) stored() ([]byte, error) {
	if r.Key == "" || (r.Value != nil && r.Version == 0) {
		return nil, ErrRecord
	}
	if r.Value == nil {
		return nil, nil
	}
	object := bytes.TrimSpace(r.Value)
	if len(object) == 0 || object[0] != '{' || !json.Valid(object) {
		return nil, ErrRecord
	}
	out := fmt.Appendf(make([]byte, 0, len(object)+60), `{"version":%q`, r.order())
	if members := bytes.TrimSpace(object[1:]); members[0] != '}' {
		out = append(out, ',')
	}
	return append(out, object[1:]...), nil
}
