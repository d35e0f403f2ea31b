package transforms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/transforms/logstate"
	"github.com/microseg/microseg/transforms/wire"
)

var _ logstate.State = (*DeviceState)(nil)

// DeviceState is the device stage's state of one shard: the devices, the
// persons that are one of them, and, for each person shard, up to which offsets
// vectors have been sent.
type DeviceState struct {
	shard   *identity.Shard
	persons *segment.Shard
	sent    []map[int32]int64
	seqs    []int64 // of the last batch to each person shard
	last    int64   // id of the last batch applied, -1 before the first
	passed  int64   // event time that the own person shard was told
	told    told
	spread  spread
	unsent  int   // batches since the own person shard was told
	limit   int64 // of the devices of a partition, in the last batch; 0: any number, or it is not known
	lowered bool  // the last batch was applied again under a lower limit
	owes    int64 // batches up to here are applied again under a lower limit; -1: none are. Not in the snapshot

	head        codec.Writer // of the persons, in the snapshot that is being written
	devicesLeft bool         // in it

	marks marks // not in the snapshot: the next ones say more
	built *Built
	log   LogReader
}

// NewDeviceState returns an empty state. The log is where batches are read
// again to replay them.
func NewDeviceState(b *Built, log LogReader) *DeviceState {
	s := &DeviceState{shard: identity.NewShard(&b.Identity), persons: segment.NewShard(&b.Segment), built: b, log: log,
		sent: make([]map[int32]int64, b.Spec.Shards), seqs: make([]int64, b.Spec.Shards), last: -1, owes: -1}
	for i := range s.sent {
		s.sent[i] = map[int32]int64{}
	}
	return s
}

// Devices is the number of devices in state.
func (s *DeviceState) Devices() int { return s.shard.Devices() }

// deviceVersion is the first byte of a device shard's snapshot; a newer one is
// refused. Version 1 said how long the part of the devices was; since version 3 it
// says what all person shards were told of the time, since version 4 by which limit devices
// were let go.
const (
	deviceVersion       = 4
	limitDeviceVersion  = 4
	spreadDeviceVersion = 3
	oldestDeviceVersion = 1
)

// AppendTo implements logstate.State.
func (s *DeviceState) AppendTo(w *codec.Writer) {
	s.Save(w)
	for s.SaveSome(w, math.MaxInt) {
	}
}

// Save begins a snapshot of the state as it is now; SaveSome goes on with it,
// whatever is applied meanwhile.
func (s *DeviceState) Save(w *codec.Writer) {
	w.Byte(deviceVersion)
	w.Uint(uint64(len(s.sent)))
	w.Int(s.last)
	for to, m := range s.sent {
		w.Int(s.seqs[to])
		w.Uint(uint64(len(m)))
		for _, p := range slices.Sorted(maps.Keys(m)) {
			w.Int(int64(p))
			w.Int(m[p])
		}
	}
	w.Int(s.passed)
	w.Int(int64(s.unsent))
	s.told.appendTo(w)
	s.spread.appendTo(w)
	w.Int(s.limit)
	w.Bool(s.lowered)
	s.shard.Save(w)
	s.head = codec.Writer{}
	s.persons.Save(&s.head)
	s.devicesLeft = true
}

// SaveSome writes up to n devices or persons of the snapshot that Save began, and
// reports whether there is more.
func (s *DeviceState) SaveSome(w *codec.Writer, n int) bool {
	if s.devicesLeft {
		if s.devicesLeft = s.shard.SaveSome(w, n); !s.devicesLeft {
			w.B = append(w.B, s.head.B...) // persons are read behind their devices
		}
		return true
	}
	return s.persons.SaveSome(w, n)
}

// stats is the state in numbers, with so many new moves.
func (s *DeviceState) stats(moves uint64) Stats {
	st := Stats{Devices: s.shard.Devices(), Persons: s.persons.Persons(), Moves: moves}
	s.shard.Partitions(func(_ int32, p *identity.Partition) {
		c := p.Counts
		st.Read, st.Good, st.Duplicate, st.Dead = st.Read+c.Read, st.Good+c.Good, st.Duplicate+c.Duplicate, st.Dead+c.Dead
		st.Stray += c.Stray
		for c, n := range p.LetGo {
			st.LetGo[c] += n
		}
	})
	return st
}

// healed is the state in numbers after a gap was read again.
func (s *DeviceState) healed() Stats {
	st := s.stats(0)
	st.Healed = 1
	return st
}

// SnapshotSize is the length in bytes of what AppendTo writes.
func (s *DeviceState) SnapshotSize() int {
	var w codec.Writer
	s.AppendTo(&w)
	return len(w.B)
}

// ReadDeviceState reads what AppendTo wrote.
func ReadDeviceState(b []byte, built *Built, log LogReader) (*DeviceState, error) {
	return readDeviceState(&codec.Reader{B: b}, built, log, 0)
}

// readDeviceState reads a state with at most so many devices of a partition; 0: any number.
func readDeviceState(r *codec.Reader, built *Built, log LogReader, limit int64) (*DeviceState, error) {
	s := NewDeviceState(built, log)
	v := r.Byte()
	if v < oldestDeviceVersion || v > deviceVersion {
		return nil, &codec.VersionError{What: "device shard", Got: int(v), Want: deviceVersion}
	}
	if n := r.Len(); n != len(s.sent) {
		return nil, fmt.Errorf("reading a device shard: it was written with %d shards, the job has %d", n, len(s.sent))
	}
	s.last = r.Int()
	for i := range s.sent {
		s.seqs[i] = r.Int()
		for range r.Len() {
			p := int32(r.Int())
			s.sent[i][p] = r.Int()
		}
	}
	s.passed, s.unsent, s.told = r.Int(), int(r.Int()), readTold(r)
	if v >= spreadDeviceVersion {
		s.spread = readSpread(r)
	}
	if v >= limitDeviceVersion {
		s.limit, s.lowered = r.Int(), r.Bool()
	}
	if v == oldestDeviceVersion {
		r.Fixed()
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	if lower(s.limit, limit) == s.limit {
		limit = 0 // who is beyond it is let go as it comes to that
	} else {
		s.limit = limit
	}
	var err error
	if s.shard, err = identity.ReadShard(r, &built.Identity, limit); err != nil {
		return nil, err
	}
	s.persons, err = segment.ReadShardOfFewer(r, &built.Segment, s.shard.Profile, s.shard.LetGoAsRead() > 0)
	return s, err
}

// Replay implements logstate.State. A delta names the offsets that a batch
// covered; the events themselves are read from the log again.
func (s *DeviceState) Replay(ctx context.Context, deltas [][]byte) error {
	if len(deltas) == 0 {
		return nil
	}
	headers := make([]wire.Header, len(deltas))
	span := map[int32]*identity.Range{}
	for i, d := range deltas {
		var err error
		if headers[i], err = wire.ReadHeader(d); err != nil {
			return err
		}
		for _, r := range headers[i].Ranges {
			if r.Last < r.First {
				continue
			}
			if q := span[r.Partition]; q == nil {
				span[r.Partition] = &r
			} else {
				q.First, q.Last = min(q.First, r.First), max(q.Last, r.Last)
			}
		}
	}
	g, err := NewDeviceStage(s.built, s.log) // the one that asks may be at work elsewhere
	if err != nil {
		return err
	}
	events, err := g.events(ctx, span, semanticsOf(headers))
	if err != nil {
		return err
	}
	for i := range headers {
		if err := g.apply(ctx, s, &headers[i], events.cut(&headers[i]), Outputs{}); err != nil {
			return fmt.Errorf("replaying batch %d of %d: %w", i+1, len(headers), err)
		}
	}
	return nil
}

// logEvents are events of a part of the log, by partition, in offset order.
type logEvents struct {
	events   map[int32][]event.Event
	dead     map[int32][]identity.DeadLetter
	warnings map[int32][]identity.Warning
}

// semanticsOf finds by which semantics the records of some batches are to be read,
// which is asked in the order of the offsets of each partition.
func semanticsOf(headers []wire.Header) func(identity.Place) event.Semantics {
	at := map[int32]int{}
	return func(p identity.Place) event.Semantics {
		for ; at[p.Partition] < len(headers); at[p.Partition]++ {
			h := &headers[at[p.Partition]]
			if slices.ContainsFunc(h.Ranges, func(r identity.Range) bool { return r.Partition == p.Partition && p.Offset <= r.Last }) {
				return h.Semantics
			}
		}
		return event.NewestSemantics
	}
}

// events reads ranges of the log again.
func (g *DeviceStage) events(ctx context.Context, span map[int32]*identity.Range, semantics func(identity.Place) event.Semantics) (*logEvents, error) {
	out := &logEvents{events: map[int32][]event.Event{}, dead: map[int32][]identity.DeadLetter{}, warnings: map[int32][]identity.Warning{}}
	for _, p := range slices.Sorted(maps.Keys(span)) {
		r := span[p]
		if g.log == nil {
			return nil, fmt.Errorf("re-reading partition %d from offset %d to %d: %w", p, r.First, r.Last, errNoLog)
		}
		err := g.log.ReadRange(ctx, p, r.First, r.Last, func(rec identity.Record) error {
			_, b := g.decoder.Decode(&identity.RawBatch{Chunks: [][]identity.Record{{rec}}, Semantics: semantics(identity.Place{Partition: p, Offset: rec.Offset})})
			out.events[p] = append(out.events[p], b.Events...)
			out.dead[p] = append(out.dead[p], b.Dead...)
			out.warnings[p] = append(out.warnings[p], b.Warnings...)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("re-reading the log: %w", err)
		}
	}
	return out, nil
}

var errNoLog = errors.New("the stage has no log to read from")

// cut takes the events that a batch covered from the front.
func (l *logEvents) cut(h *wire.Header) *identity.Batch {
	b := &identity.Batch{Ranges: h.Ranges, Emitted: h.Emitted, Due: h.Due, Semantics: h.Semantics, LegacyUntil: h.LegacyUntil, Limits: h.Limits}
	for _, r := range h.Ranges {
		n := 0
		for es := l.events[r.Partition]; n < len(es) && es[n].Offset <= r.Last; n++ {
		}
		b.Events = append(b.Events, l.events[r.Partition][:n]...)
		l.events[r.Partition] = l.events[r.Partition][n:]
		n = 0
		for ds := l.dead[r.Partition]; n < len(ds) && ds[n].Offset <= r.Last; n++ {
		}
		b.Dead = append(b.Dead, l.dead[r.Partition][:n]...)
		l.dead[r.Partition] = l.dead[r.Partition][n:]
		n = 0
		for ws := l.warnings[r.Partition]; n < len(ws) && ws[n].Offset <= r.Last; n++ {
		}
		b.Warnings = append(b.Warnings, l.warnings[r.Partition][:n]...)
		l.warnings[r.Partition] = l.warnings[r.Partition][n:]
	}
	return b
}
