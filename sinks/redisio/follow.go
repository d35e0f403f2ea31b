package redisio

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/segment"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Source is a topic of segments, and what its records mean.
type Source struct {
	Brokers  []string
	Topic    string
	Features []*segment.Feature // what a profile tells of
	Stored   int                // length of a record's values, of the schema
	Params   segment.Params
	Exempt   []string // paths of nodes that are served before anything is decided
	// Pointers tells whose a linked device is. Without it the device says that it is linked
	// and nothing more: who knows, or planted, its id would find the user's state behind it.
	Pointers bool
}

// Follower copies the topic of segments into Redis, from its beginning: Redis
// keeps no offset, and what is there already is not written again.
type Follower struct {
	src        Source
	w          *Writer
	copied     atomic.Uint64
	unreadable atomic.Uint64
}

// NewFollower returns a follower that writes to w.
func NewFollower(src Source, w *Writer) *Follower { return &Follower{src: src, w: w} }

// Copied is how many records were handed to the writer, and how many could not
// be read.
func (f *Follower) Copied() (records, unreadable uint64) {
	return f.copied.Load(), f.unreadable.Load()
}

// Run copies until the context ends.
func (f *Follower) Run(ctx context.Context) error {
	cl, err := kafka.New(f.src.Brokers, kgo.ConsumeTopics(f.src.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	first, err := activation(&segment.Active{Version: 1, Paths: f.src.Exempt})
	if err != nil {
		return err
	}
	if err := f.w.Put(ctx, []Record{first}); err != nil && ctx.Err() == nil {
		return err
	}
	for {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var refused error
		fs.EachError(func(topic string, p int32, err error) {
			if kafka.Stays(err) && f.copied.Load() == 0 {
				refused = fmt.Errorf("reading topic %q: %w", topic, err)
				return
			}
			slog.Warn("reading segments", "topic", topic, "partition", p, "err", err)
		})
		if refused != nil { // waiting from the start would not mend it; later somebody is at it
			return refused
		}
		var batch []Record
		fs.EachRecord(func(r *kgo.Record) {
			rec, err := f.record(string(r.Key), r.Value)
			if err != nil {
				if f.unreadable.Add(1) == 1 {
					slog.Error("a segment record cannot be read", "partition", r.Partition, "offset", r.Offset, "err", err)
				}
				return
			}
			batch = append(batch, rec)
		})
		if err := f.w.Put(ctx, batch); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		f.copied.Add(uint64(len(batch)))
	}
}

// record is a record of the topic as Redis keeps it.
func (f *Follower) record(key string, value []byte) (Record, error) {
	if len(value) == 0 {
		return Record{Key: key}, nil
	}
	if key == segment.ActiveKey {
		var a segment.Active
		if err := a.Read(value); err != nil {
			return Record{}, err
		}
		return activation(&a)
	}
	var r segment.Record
	if err := r.Read(value); err != nil {
		return Record{}, err
	}
	p := Profile{User: r.User, Path: r.Path, Since: r.Since, Evaluated: r.Evaluated, Last: r.Last, Linked: r.Linked}
	if r.User != "" && !f.src.Pointers {
		p.User, p.Linked = "", true
	}
	if r.User == "" {
		r.Fit(f.src.Stored)
		v := r.View()
		p.Features = segment.Describe(f.src.Features, &v, r.Evaluated, &f.src.Params)
	}
	return p.Record(key, max(1, r.Version))
}

// activation is the activation record as Redis keeps it; that of minute 0 is
// what holds before any is decided.
func activation(a *segment.Active) (Record, error) {
	b, err := json.Marshal(Activation{Minute: a.Minute, Active: a.Paths})
	return Record{Key: segment.ActiveKey, At: a.Minute, Version: a.Version, Value: b}, err
}
