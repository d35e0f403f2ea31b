// Package identity decides who a device belongs to and keeps the device stage's
// state: for each partition the offset and the data clock, for each device the
// profile of its current epoch.
//
// A device's behaviour is never moved: linking re-routes its vector. An epoch
// begins at the offset of the record that opens it, whatever its clock says.
package identity

import (
	"fmt"
	"math"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// Params are the constants of the device stage for one site.
type Params struct {
	Session    session.Params
	Retention  int64 // ms of event time without events after which a device is dropped
	Slots      int   // length of the feature vectors
	Tick       int64 // ms: event time passes at its multiples within a batch, too; 0: at the end alone
	MaxPending int   // events that a device keeps for late ones; 0: any number
	MaxUsers   int   // that a device may be linked to in a day of event time; 0: any number
	Partitions int32 // of the topic, keyed by device; 0: a new device may be in any
}

// Partition is what the shard knows of one partition of the log.
type Partition struct {
	Offset int64 // last offset applied, -1 before the first
	Clock  int64 // data clock at Offset (see DataClock); 0 while it has not begun
	Time   int64 // event time that has passed here: the clock, or later while idle
	Counts Counts
	lead   lead
	ahead  int64 // event time that has passed of the device that is furthest ahead
	idle   bool
	pace   pace
	moved  bool  // the batch that is being applied has records of it
	older  int64 // offset up to which records were applied by programs that knew no trusts, -1: none
	agenda agenda
	copied map[int32]int64 // of copies: for each partition of the topic that they are of, the last offset
	turns  [ranks]turns    // its devices, by whom to let go first
	gone   [2]learned      // events of devices that were let go: that come shortly late, and for long
	LetGo  [classes]uint64 // devices that were let go, by Class
	left   []int64         // offsets of records that are left out (event.Poison), the newest maxLeft
}

// Counts are cumulative: Read = Good + Duplicate + Dead, always. Strays are of the dead.
type Counts struct{ Read, Good, Duplicate, Dead, Stray uint64 }

// Range is the part of a batch that came from one partition. Offsets that hold
// no record (transaction markers, compaction) are inside First..Last all the same.
type Range struct {
	Partition   int32
	Prev        int64 // last offset of the previous batch, -1 at the start
	First, Last int64 // First = Prev+1; Last < First when nothing was read
	Idle        int64 // ms of wall clock since the partition's last record, once it is read to its end; 0 while busy; ReadToEnd
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
	Origin       Origin // of a copy
}

// Batch is what a shard applies at once: the events and the refused records of
// some partitions' ranges, each in offset order within its partition.
type Batch struct {
	Ranges   []Range
	Events   []event.Event
	Dead     []DeadLetter
	Warnings []Warning // of the events; they change nothing
	Emitted  int64     // wall clock at which the source let the batch go, µs
	Due      int64     // rows of open sessions that changed in batches emitted up to here are due, µs; 0 for none
	// Rebuilds is what the records that tell to make a device anew bring, of the
	// last part of each.
	Rebuilds    map[Place]*Rebuild
	Semantics   event.Semantics
	LegacyUntil int64 // data clock (ms) at which links from before proofs are claims; 0: never
	Limits      Limits
}

// Output is what a batch makes. Slices are reused between batches.
type Output struct {
	// Before is called before an event at t (ms) changes a profile.
	Before func(p *session.Profile, t int64)
	// Gone is called when the retention forgets a device, with the event time (ms)
	// at which it was over; Before or Passed has told of that time.
	Gone func(device string, p *session.Profile, t int64)
	// Erased is called for each tombstone, with the profile of the device's present
	// epoch, nil where there is none, and the event time (ms) as of which it goes.
	// Vectors that take the device from its users follow.
	Erased func(device string, p *session.Profile, t int64)
	// Evicted is called for each device that is let go (see evict.go), with its present
	// epoch's profile, the event time (ms) as of which it goes, and the record at which
	// it does. Vectors that take the device from its users follow.
	Evicted func(device string, p *session.Profile, c Class, t int64, at Place)
	// Owed is called instead of Evicted where nobody is told yet (see lower.go), without a
	// profile for a device that may have been there.
	Owed func(device string, p *session.Profile, t int64)
	// Opened is called when a device that belonged to a user has an epoch of its own
	// again: nothing is known of who uses it now.
	Opened func(device string)
	// Vector is called for each vector as it is made, in the order of the
	// events; the vector is valid during the call.
	Vector func(*session.Vector, *event.Event)
	// Passed is called once a batch, after the events, and before those behind each
	// refresh tick that the batch goes beyond, with the event time (ms)
	// that has passed in the whole shard, once that is known. Nobody may look at
	// a profile as it was before that time afterwards: closed sessions are dropped.
	Passed   func(w int64)
	Sessions []SessionRow
	Dead     []DeadLetter
	Excess   []session.Excess // devices that too many share, once for each further user of a day
	Replayed []Replayed       // what became of dead letters
	Claims   int              // epochs that name a user without a proof, newly
	Proven   int              // epochs that did, and are the user's now
	Compact  bool             // somebody was deleted whom older forms of the state still name
}

// Reset empties the output and keeps its memory.
func (o *Output) Reset() {
	o.Sessions, o.Dead, o.Excess, o.Replayed = o.Sessions[:0], o.Dead[:0], o.Excess[:0], o.Replayed[:0]
	o.Claims, o.Proven, o.Compact = 0, 0, false
}

// Shard is the device stage's state for a fixed group of partitions.
type Shard struct {
	p        *Params
	session  *session.Params // with the semantics of the batch that is being applied
	older    session.Params  // of semantics before the newest
	parts    map[int32]*Partition
	devices  map[string]*device
	past     map[string][]*device // earlier epochs of devices in their order, while they have events for late ones or wait for a proof
	former   map[string][]former  // users of earlier epochs: their persons still have what the device did then
	dirty    []dirty
	held     []held             // see markHeld
	emitted  int64              // of the batch that is being applied
	rebuilds map[Place]*Rebuild // of the same batch
	at       *event.Event       // that is being applied, nil between events
	settled  int64              // the watermark that was last given to Output.Passed
	vector   session.Vector
	saving   saving
	// legacyUntil is that of the last batch that said it.
	legacyUntil int64
	limits      Limits // of the batch that is being applied
	round       bool   // which devices' markSaved means that the snapshot has them
	asRead      int    // devices that were let go while the shard was read
	owing       bool   // see Owe
}

// NewShard returns an empty shard.
func NewShard(p *Params) *Shard {
	return &Shard{p: p, session: &p.Session, parts: map[int32]*Partition{}, devices: map[string]*device{}, past: map[string][]*device{}, former: map[string][]former{}}
}

// Partition is the state of partition id; it is made when absent.
func (s *Shard) Partition(id int32) *Partition {
	q := s.parts[id]
	if q == nil {
		q = &Partition{Offset: -1, older: -1}
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

// Watermark is the event time that has passed in the shard: the newest that one of its
// partitions has, or that two of its devices have reached, or the only one; but no later
// than that of the partitions that are busy. Idle ones, read to their end, do not hold it
// back; when all are idle it moves on with the time since their last event. It never
// jumps to the wall clock: the log may be a replay of an old day. ok is false while it is
// unknown.
func (s *Shard) Watermark() (w int64, ok bool) {
	var newest, first, second int64
	least, begun := int64(math.MaxInt64), false
	for _, q := range s.parts {
		newest, begun = max(newest, q.Time), begun || q.Clock > 0
		first, second = max(first, q.ahead), max(second, min(first, q.ahead))
		if !q.idle {
			least = min(least, q.holds())
		}
	}
	if w = max(newest, second); !begun && second == 0 {
		w = max(w, first)
	}
	w = min(w, least)
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

// Offset is the last offset applied of a partition, -1 before the first.
func (s *Shard) Offset(partition int32) int64 {
	if q := s.parts[partition]; q != nil {
		return q.Offset
	}
	return -1
}
