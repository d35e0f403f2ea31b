package segment

import (
	"math"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// nowhere is the node of who is in no segment, not even the root.
const nowhere = -1

// Cause says why a person moved in the tree.
type Cause uint8

// Causes, in the words of segment_events.cause.
const (
	CauseEvent Cause = iota
	CauseTime
	CauseLink
	CauseUnlink
	CauseStale
	CauseRetention
	CauseErased
	CauseReplay
	CauseEvicted
)

// Causes names the causes.
var Causes = [...]string{"event", "time", "link", "unlink", "stale", "retention", "erased", "replay", "evicted"}

// ShardParams are the constants of the person stage.
type ShardParams struct {
	Params
	Schema     *Schema
	Tree       *Tree
	Window     int64   // ms since the last event of a visit during which a person is active
	MinSpan    int64   // ms from the first receipt to the last that make a visit (session.Presence)
	Retention  int64   // ms since the last event after which a person is dropped
	StaleShare float64 // share above which a segment's members are refreshed
	// Slots are the stored features that vectors of users and records hold, in
	// order; nil: those that the tree reads. Publish: records are made. Outcomes
	// sums up what rules make of the stored features: where it changes, a record
	// is due at once. It may be nil.
	Slots      []session.Slot
	MaxDevices int // whose vectors a user is the sum of; 0: any number
	Publish    bool
	Outcomes   func(v *View, now int64) uint64
}

// Move is one change of a person's path.
type Move struct {
	Person     string
	Transition uint32 // 1 for the person's first move
	From, To   int    // node ids; -1 is nowhere: From of the first move, To when the person leaves
	Cause      Cause
	At         int64 // event time, ms
	Offset     int64 // of the event that caused it, -1 for time
	Partition  int32
}

// StateRow is a person as last evaluated.
type StateRow struct {
	Person      string
	Node        int
	Since       int64 // since when on this path
	Evaluated   int64
	Next        int64 // next wake-up, math.MaxInt64 for none
	Last        int64
	Live, Long  float64
	Intent      float64
	Weight      float64 // signal weight
	CartValue   float64
	Orders      uint32 // with those that came too late for a session
	Revenue     float64
	Refunded    float64
	Devices     int
	Transitions uint32
	Bot         bool
	Deleted     bool
}

// Effects is what a batch makes. Slices are reused.
type Effects struct {
	Moves  []Move
	States []StateRow
	Counts []MinuteCounts
	Excess []session.Excess // users with too many devices, once for each further one of a day
}

// Reset empties the effects and keeps their memory.
func (e *Effects) Reset() {
	e.Moves, e.States, e.Counts, e.Excess = e.Moves[:0], e.States[:0], e.Counts[:0], e.Excess[:0]
}

// Shard decides where persons stand: those that are one device of the same
// shard, and users, views over the vectors of the devices linked to them.
type Shard struct {
	p         *ShardParams
	users     map[string]*person
	all       []*person // users, and locals
	wakes     wakes
	dirty     []dirty
	audience  audience
	catalog   []session.Feature
	slots     []session.Slot // what vectors of users hold
	elements  int
	scratch   View
	changed   []change // that Records will hand out
	erased    []string // users of whom Records will first say that they are forgotten
	published Record
	values    []float64
	newest    int64           // newest event of anybody, ms
	Now       int64           // event time that has passed in the whole shard (the watermark)
	Sure      int64           // event time up to which users have what all of their devices did; its owner sets it
	Emitted   int64           // wall clock of the batch that is being applied, µs; its owner sets it
	Sent      int64           // wall clock at which the client sent the event that is being applied, ms; 0: none is, or it is not known; its owner sets it
	Semantics event.Semantics // of the same batch; its owner sets it
	Dropped   uint64
	saving    saving
	round     bool // which persons' saved means that the snapshot has them
	owed      owed
	fewer     bool // devices were let go as they were read
}

// NewShard returns an empty shard.
func NewShard(p *ShardParams) *Shard {
	s := &Shard{p: p, users: map[string]*person{}, catalog: p.Schema.Stored(), slots: p.slots()}
	s.values = make([]float64, len(s.catalog))
	s.elements = session.Elements(len(s.catalog))
	s.audience.init(p.Tree.Len())
	return s
}

// Persons is the number of persons in state.
func (s *Shard) Persons() int { return len(s.all) }

// Apply takes one device vector, or its retraction, into its person: wake-ups
// that come before it fire first, at their own times. The vector of an unlinked
// device must have its profile, that of a linked one the projected values.
func (s *Shard) Apply(v *session.Vector, partition int32, out *Effects) {
	if v.User == "" {
		s.applyLocal(v, partition, out)
		return
	}
	if v.Retract {
		s.leave(v, partition, out)
		return
	}
	q := s.users[v.User]
	s.keep(q)
	if q != nil && !s.wakeUntil(q, s.reached(q, v.At), out) {
		q = nil
	}
	if q == nil {
		if v.Rebuilt && v.Last+s.p.Retention <= v.At {
			return // the retention has forgotten this user
		}
		id := strings.Clone(v.User) // strings of a batch alias its buffer
		q = &person{id: id, node: nowhere, user: &user{}}
		s.insert(q)
	}
	at := max(q.evaluated, v.At)
	cause := causeOf(v, CauseEvent)
	switch got := q.user.put(v, s.p.MaxDevices); {
	case got == stale:
		return // a replay, or from before the device left
	case got == beyond:
		s.exceed(q, v, at, out)
		return
	case v.Former && !v.Rebuilt:
		q.user.limitEpochs(v.Device, s)
		return // decided with the vector that follows
	case got == joined:
		q.user.limitEpochs(v.Device, s)
		// What a device did before it was linked comes at once.
		if !v.Rebuilt && (v.Epoch == 0 || v.Epoch != v.Version.Offset) && q.user.linked() > 1 {
			cause = CauseLink
		}
	}
	s.evaluate(q, at, cause, v.Version.Offset, partition, out)
}

// applyLocal evaluates the person that is the vector's device, whose profile
// holds the event already; Before came before.
func (s *Shard) applyLocal(v *session.Vector, partition int32, out *Effects) {
	q := s.local(v)
	at := max(q.evaluated, v.At)
	if v.Retract {
		from := nobody
		if v.Former { // an epoch of the device that claimed somebody: others may come and go at the same time
			from = place{v.Version.Offset, partition}
		}
		s.drop(q, at, causeOf(v, CauseLink), from, out)
		return
	}
	cause := CauseEvent
	if v.Freed {
		cause = CauseUnlink
	}
	s.evaluate(q, at, causeOf(v, cause), v.Version.Offset, partition, out)
}

// causeOf is the cause of what a vector changes.
func causeOf(v *session.Vector, usual Cause) Cause {
	if v.Rebuilt {
		return CauseReplay
	}
	return usual
}

// exceed notes that a device was left out of a user, who has as many as may be.
func (s *Shard) exceed(q *person, v *session.Vector, t int64, out *Effects) {
	if q.user.beyond == nil {
		q.user.beyond = &session.Day{}
	}
	if before, fresh := q.user.beyond.Add(t, v.Device); fresh {
		out.Excess = append(out.Excess, session.Excess{Subject: q.name(), Start: q.user.beyond.Start(), Count: s.p.MaxDevices + before + 1, Limit: s.p.MaxDevices})
	}
}

// evaluate decides the person's path at time t, which never runs backwards.
func (s *Shard) evaluate(q *person, t int64, cause Cause, offset int64, partition int32, out *Effects) {
	s.keep(q)
	node, next := nowhere, never
	if q.devices() > 0 {
		v := s.view(q, t)
		node, next = s.p.Tree.Decide(v, t)
		if s.p.Outcomes != nil {
			if x := s.p.Outcomes(v, t); x != q.outcomes {
				q.outcomes = x
				s.publish(q)
			}
		}
	}
	q.evaluated = t
	last := q.last()
	s.newest = max(s.newest, last)
	seen, visits := q.visits(s.p.MinSpan)
	active := node != nowhere && visits && t < seen+s.p.Window && !q.bot()
	s.count(q, node, active, t)
	if active {
		next = min(next, seen+s.p.Window)
	}
	s.move(q, node, t, cause, offset, partition, out)
	if e := q.expires(s.p.GapMS, t); e > t {
		next = min(next, e)
	}
	switch gone := last + s.p.Retention; {
	case q.user != nil && gone > t:
		next = min(next, gone)
	case q.user == nil && next >= gone:
		next = never // a local person goes with its device
	}
	if q.wake = next; next <= t {
		q.wake = t + 1
	}
	s.queue(q)
	s.touch(q)
}

// move takes the person to another node, if it is another.
func (s *Shard) move(q *person, node int, t int64, cause Cause, offset int64, partition int32, out *Effects) {
	if node == int(q.node) {
		return
	}
	q.transitions++
	out.Moves = append(out.Moves, Move{Person: q.name(), Transition: q.transitions, From: int(q.node), To: node, Cause: cause, At: t, Offset: offset, Partition: partition})
	q.node, q.since = int32(node), t
	s.publish(q)
}

// count moves the person in the audience, before it moves in the tree.
func (s *Shard) count(q *person, node int, active bool, t int64) {
	from, to := nowhere, nowhere
	if q.counted {
		from = int(q.node)
	}
	if active {
		to = node
	}
	if from != to {
		s.audience.move(s.p.Tree, from, to, t)
		q.counted = active
	}
}

func (s *Shard) touch(q *person) {
	if !q.dirty {
		q.dirty = true
		s.dirty = append(s.dirty, dirty{q, s.Emitted})
	}
}

// dirty is a person that was evaluated since its last row, with the wall clock
// (µs) of the batch that did it first.
type dirty struct {
	person *person
	at     int64
}

// view makes the person's features at t. It is valid until the next call.
func (s *Shard) view(q *person, t int64) *View {
	v := &s.scratch
	if q.user != nil {
		*v = View{Last: q.user.last, Linked: true, SessionEnd: math.MaxInt64, Values: s.values}
		q.user.merge(v, s, t)
		return v
	}
	*v = View{Live: q.profile.Live, Long: q.profile.Long, Last: q.profile.Last, SessionEnd: q.profile.End(s.p.GapMS), Devices: 1, Values: s.values}
	q.profile.Fill(s.values, s.elements)
	return v
}

// place is the record that changes something; nobody of what time does.
type place struct {
	offset    int64
	partition int32
}

var nobody = place{-1, -1}

// drop takes a person out of the shard.
func (s *Shard) drop(q *person, t int64, cause Cause, at place, out *Effects) {
	s.keep(q)
	s.count(q, nowhere, false, t)
	s.move(q, nowhere, t, cause, at.offset, at.partition, out)
	row := erasedRow(q, t)
	if cause != CauseErased && q.devices() > 0 {
		row = s.row(q)
	}
	out.States = append(out.States, row) // nothing will touch it again
	q.gone = true
	s.publish(q)
	s.remove(q)
	if cause == CauseRetention {
		s.Dropped++
	}
}

// Flush makes the rows of the persons that have waited since due (µs).
func (s *Shard) Flush(due int64, out *Effects) {
	n := 0
	for ; n < len(s.dirty) && s.dirty[n].at <= due; n++ {
		q := s.dirty[n].person
		q.dirty = false
		if !q.gone {
			out.States = append(out.States, s.row(q))
			s.publish(q)
		}
		s.dirty[n].person = nil
	}
	if s.dirty = s.dirty[n:]; len(s.dirty) == 0 {
		s.dirty = nil // lets go of a burst's memory
	}
}

func (s *Shard) row(q *person) StateRow {
	t := max(q.evaluated, q.looked)
	v := s.view(q, t)
	orders := session.SlotCustomer(s.elements)
	weight, _ := signal.Weight(v.Live, v.Long, t, s.p.HalfLives)
	live := sumAt(v.Live, t, s.p.HalfLives.Live)
	return StateRow{Person: q.name(), Node: int(q.node), Since: q.since, Evaluated: t, Next: q.wake, Last: q.last(),
		Bot:  q.bot(),
		Live: live, Long: sumAt(v.Long, t, s.p.HalfLives.Long), Intent: signal.Intent(live, s.p.Kappa), Weight: weight,
		CartValue: v.Values[session.SlotCartValue], Orders: uint32(v.Values[orders]), Revenue: v.Values[orders+1], Refunded: v.Values[orders+2], Devices: v.Devices, Transitions: q.transitions, Deleted: q.node == nowhere}
}
