// Package identity decides who a device belongs to and keeps the device stage's
// state: for each partition the offset and the data clock, for each device the
// profile of its current epoch.
//
// A device's behaviour is never moved: linking re-routes its vector. An epoch
// begins at the offset of the record that opens it, whatever its clock says.
package identity

import (
	"fmt"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// Params are the constants of the device stage for one site.
type Params struct {
	Session    session.Params
	Retention  int64  // ms of event time without events after which a device is dropped
	Slots      int    // length of the feature vectors
	Generation uint32 // of the topic's layout
}

// Partition is what the shard knows of one partition of the log.
type Partition struct {
	Offset int64 // last offset applied, -1 before the first
	Clock  int64 // data clock: the newest accepted event time at or below Offset; 0 before the first
	Time   int64 // event time that has passed here: the clock, or later while idle
	Counts Counts
	idle   bool
	agenda agenda
}

// Counts are cumulative: Read = Good + Duplicate + Dead, always.
type Counts struct{ Read, Good, Duplicate, Dead uint64 }

// Range is the part of a batch that came from one partition. Offsets that hold
// no record (transaction markers, compaction) are inside First..Last all the same.
type Range struct {
	Partition   int32
	Prev        int64 // last offset of the previous batch, -1 at the start
	First, Last int64 // First = Prev+1; Last < First when nothing was read
	Idle        int64 // ms of wall clock since the partition's last record, once it is read to its end; 0 while busy
}

// GapError says that records between the state and a batch are missing.
type GapError struct {
	Partition   int32
	First, Last int64 // the missing offsets, inclusive
}

func (e *GapError) Error() string {
	return fmt.Sprintf("applying a batch of partition %d: offsets %d to %d are missing; re-read them from the log", e.Partition, e.First, e.Last)
}

// DeadLetter is a record that the decoder or the shard refused. Time is the
// event time in ms, 0 when it is not known.
type DeadLetter struct {
	Partition    int32
	Offset       int64
	Append, Time int64
	Device       string
	Reason       event.Reason
	Detail       string
	Raw          []byte // truncated
}

// Batch is what a shard applies at once: the events and the refused records of
// some partitions' ranges, each in offset order within its partition.
type Batch struct {
	Ranges []Range
	Events []event.Event
	Dead   []DeadLetter
	Flush  bool // make the rows of all sessions that changed
}

// SessionRow is a session as it is now, or the tombstone of an absorbed one.
type SessionRow struct {
	Device  string
	Person  string
	Epoch   int64
	Start   int64
	Fold    *session.Fold // nil for a tombstone
	Context session.Context
	Cart    session.Cart
	Open    bool
	Version uint64
}

// Output is what a batch makes. Slices are reused between batches.
type Output struct {
	Vectors  []session.Vector
	Sessions []SessionRow
	Dead     []DeadLetter
	values   []float64 // arena of the vectors' values
}

// Reset empties the output and keeps its memory.
func (o *Output) Reset() {
	o.Vectors, o.Sessions, o.Dead, o.values = o.Vectors[:0], o.Sessions[:0], o.Dead[:0], o.values[:0]
}

// take returns n zeroed floats that live until the next Reset; growing never moves those handed out.
func (o *Output) take(n int) []float64 {
	if len(o.values)+n > cap(o.values) {
		o.values = make([]float64, 0, max(1024*n, 2*cap(o.values)))
	}
	v := o.values[len(o.values) : len(o.values)+n]
	o.values = o.values[:len(o.values)+n]
	return v
}

// device is one (device, epoch).
type device struct {
	session.Profile
	id      string
	user    string
	epoch   int64
	version session.Version
	queued  int64 // when the agenda looks at it next
	dirty   bool  // its open session changed since its row was last made
	closed  bool  // the row that says "closed" was made
	past    bool  // a newer epoch has begun
}

func (d *device) person() string {
	if d.user != "" {
		return "u:" + d.user
	}
	return "d:" + d.id
}

// Shard is the device stage's state for a fixed group of partitions.
type Shard struct {
	p       *Params
	parts   map[int32]*Partition
	devices map[string]*device
	dirty   []*device
	Dropped uint64 // devices dropped by retention
}

// NewShard returns an empty shard.
func NewShard(p *Params) *Shard {
	return &Shard{p: p, parts: map[int32]*Partition{}, devices: map[string]*device{}}
}

// Partition is the state of partition id; it is made when absent.
func (s *Shard) Partition(id int32) *Partition {
	q := s.parts[id]
	if q == nil {
		q = &Partition{Offset: -1}
		s.parts[id] = q
	}
	return q
}

// Partitions calls f for each partition that the shard knows.
func (s *Shard) Partitions(f func(id int32, p *Partition)) {
	for id, p := range s.parts {
		f(id, p)
	}
}

// Devices is the number of devices in state.
func (s *Shard) Devices() int { return len(s.devices) }

// Watermark is the event time that has passed in the shard: the minimum over
// the partitions that are busy. Idle ones, read to their end, do not hold it
// back; when all are idle it moves on with the time since their last event. It
// never jumps to the wall clock: the log may be a replay of an old day. ok is
// false while it is unknown.
func (s *Shard) Watermark() (w int64, ok bool) {
	var newest int64
	busy := false
	for _, q := range s.parts {
		newest = max(newest, q.Time)
		if q.idle {
			continue
		}
		if q.Time == 0 {
			return 0, false
		}
		if !busy || q.Time < w {
			w, busy = q.Time, true
		}
	}
	if !busy {
		w = newest
	}
	return w, w > 0
}

// Idle reports whether all partitions are read to their end and quiet.
func (s *Shard) Idle() bool {
	for _, q := range s.parts {
		if !q.idle {
			return false
		}
	}
	return true
}

// Admit checks that the ranges continue the state. It returns the first gap as a *GapError.
func (s *Shard) Admit(ranges []Range) error {
	for _, r := range ranges {
		if q := s.Partition(r.Partition); r.First > q.Offset+1 && r.Prev > q.Offset {
			return &GapError{Partition: r.Partition, First: q.Offset + 1, Last: r.Prev}
		}
	}
	return nil
}

// Apply folds a batch in. Records at or below the shard's offset are skipped,
// so that retries, replays and restores are safe. A missing range is a
// *GapError, and then nothing has been applied.
func (s *Shard) Apply(b *Batch, out *Output) error {
	if err := s.Admit(b.Ranges); err != nil {
		return err
	}
	skip := make(map[int32]int64, len(b.Ranges))
	for i := range b.Ranges {
		skip[b.Ranges[i].Partition] = s.parts[b.Ranges[i].Partition].Offset
	}
	for i := range b.Events {
		if e := &b.Events[i]; e.Offset > skip[e.Partition] {
			s.event(e, out)
		}
	}
	for i := range b.Dead {
		if d := &b.Dead[i]; d.Offset > skip[d.Partition] {
			s.dead(s.parts[d.Partition], *d, out)
		}
	}
	for i := range b.Ranges {
		r := &b.Ranges[i]
		q := s.parts[r.Partition]
		q.Offset = max(q.Offset, r.Last)
		q.idle = r.Idle > 0
		if q.Clock > 0 {
			q.Time = max(q.Time, q.Clock+r.Idle)
		}
	}
	w, ok := s.Watermark()
	for _, q := range s.parts {
		if ok && q.idle {
			q.Time = max(q.Time, w)
		}
		s.tick(q, out)
	}
	if b.Flush {
		s.Flush(out)
	}
	return nil
}

func (s *Shard) dead(q *Partition, d DeadLetter, out *Output) {
	q.Counts.Read++
	q.Counts.Dead++
	out.Dead = append(out.Dead, d)
}

func (s *Shard) event(e *event.Event, out *Output) {
	q := s.parts[e.Partition]
	if horizon := q.Clock - s.p.Session.Lateness; q.Clock > 0 && e.Time < horizon {
		s.dead(q, DeadLetter{Partition: e.Partition, Offset: e.Offset, Append: e.Append, Time: e.Time, Device: e.Device,
			Reason: event.Late, Detail: fmt.Sprintf("%d ms beyond the allowed lateness", horizon-e.Time), Raw: e.Raw}, out)
		return
	}
	q.Counts.Read++
	d := s.devices[e.Device]
	if d != nil && d.Duplicate(e.ID) {
		q.Counts.Duplicate++
		return
	}
	q.Counts.Good++
	q.Clock = max(q.Clock, e.Time)
	q.Time = max(q.Time, q.Clock)
	d = s.link(d, e, out)
	d.version = session.Version{Generation: s.p.Generation, Offset: e.Offset}
	s.rows(d, d.Add(e, &s.p.Session), out)
	out.Vectors = append(out.Vectors, s.vector(d, e, out))
	s.schedule(q, d)
}

// link finds the epoch that the event belongs to: a userId links an unlinked
// device, and another user's opens a new epoch, so that the first person keeps
// what was theirs.
func (s *Shard) link(d *device, e *event.Event, out *Output) *device {
	if d == nil {
		// Strings of a batch alias its buffer: what stays is cloned.
		d = &device{id: strings.Clone(e.Device), user: strings.Clone(e.User)}
		s.devices[d.id] = d
		return d
	}
	if e.User == "" || e.User == d.user {
		return d
	}
	if d.user == "" {
		d.version = session.Version{Generation: s.p.Generation, Offset: e.Offset}
		v := s.vector(d, e, out)
		v.Retract = true
		out.Vectors = append(out.Vectors, v)
		d.user = strings.Clone(e.User)
		return d
	}
	d.past = true
	n := &device{id: d.id, user: strings.Clone(e.User), epoch: e.Offset}
	s.devices[n.id] = n
	return n
}

func (s *Shard) vector(d *device, e *event.Event, out *Output) session.Vector {
	v := session.Vector{Device: d.id, Epoch: d.epoch, Person: d.person(), Version: d.version, At: e.Time, Last: d.Last,
		Bot: d.State().Context.Bot, Live: d.Live, Long: d.Long, Values: out.take(s.p.Slots)}
	d.State().Fill(v.Values, &s.p.Session)
	return v
}

// RowVersion makes one ordered number of a version: 8 bits of generation, 44 of offset, 12 of revision.
func RowVersion(v session.Version) uint64 {
	return uint64(v.Generation)<<56 | uint64(v.Offset)&(1<<44-1)<<12 | uint64(v.Revision)&(1<<12-1)
}

func (s *Shard) rows(d *device, c session.Change, out *Output) {
	for _, f := range c.Closed {
		out.Sessions = append(out.Sessions, s.row(d, f, false))
	}
	for _, start := range c.Absorbed {
		r := s.row(d, nil, false)
		r.Start = start
		out.Sessions = append(out.Sessions, r)
	}
	d.closed = false
	if !d.dirty {
		d.dirty = true
		s.dirty = append(s.dirty, d)
	}
}

func (s *Shard) row(d *device, f *session.Fold, open bool) SessionRow {
	st := d.State()
	r := SessionRow{Device: d.id, Person: d.person(), Epoch: d.epoch, Fold: f, Context: st.Context, Cart: st.Cart,
		Open: open, Version: RowVersion(d.version)<<1 | 1}
	if f != nil {
		r.Start = f.Start
	}
	if open {
		r.Version-- // the row that closes a session comes after its open one at the same offset
	}
	return r
}

// Flush makes the rows of all sessions that changed since their last row.
func (s *Shard) Flush(out *Output) {
	for _, d := range s.dirty {
		if d.dirty && d.State().Fold != nil {
			out.Sessions = append(out.Sessions, s.row(d, cloneFold(d.State().Fold), true))
		}
		d.dirty = false
	}
	s.dirty = s.dirty[:0]
}

// cloneFold is shallow: rows are encoded before the next batch changes the fold's slices.
func cloneFold(f *session.Fold) *session.Fold { c := *f; return &c }
