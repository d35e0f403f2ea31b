package segment

import (
	"container/heap"
	"math"
	"strings"

	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

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
)

// Causes names the causes.
var Causes = [...]string{"event", "time", "link", "unlink", "stale", "retention"}

// ShardParams are the constants of the person stage.
type ShardParams struct {
	Params
	Schema     *Schema
	Tree       *Tree
	Window     int64   // ms since the last event during which a person is active
	Retention  int64   // ms since the last event after which a person is dropped
	StaleShare float64 // share above which a segment's members are refreshed
}

// Move is one change of a person's path.
type Move struct {
	Person     string
	Transition uint32 // 1 for the person's first move
	From, To   int    // node ids; From is -1 for the first
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
	Devices     int
	Transitions uint32
	Deleted     bool
}

// Effects is what a batch makes. Slices are reused.
type Effects struct {
	Moves  []Move
	States []StateRow
	Counts []MinuteCounts
}

// Reset empties the effects and keeps their memory.
func (e *Effects) Reset() {
	e.Moves, e.States, e.Counts = e.Moves[:0], e.States[:0], e.Counts[:0]
}

// Shard is the person stage's state: persons as views over device vectors.
type Shard struct {
	p        *ShardParams
	persons  map[string]*person
	wakes    wakes
	dirty    []*person
	audience audience
	catalog  []session.Feature
	scratch  View
	values   []float64
	Now      int64 // event time that has passed in the whole shard (the watermark)
	Dropped  uint64
}

// NewShard returns an empty shard.
func NewShard(p *ShardParams) *Shard {
	s := &Shard{p: p, persons: map[string]*person{}, catalog: p.Schema.Stored()}
	s.values = make([]float64, len(s.catalog))
	s.audience.init(p.Tree.Len())
	return s
}

// Persons is the number of persons in state.
func (s *Shard) Persons() int { return len(s.persons) }

// Apply takes one device vector, or its retraction, into its person: wake-ups
// that come before it fire first, at their own times.
func (s *Shard) Apply(v *session.Vector, partition int32, out *Effects) {
	q := s.persons[v.Person]
	if q == nil {
		id := strings.Clone(v.Person) // strings of a batch alias its buffer
		q = &person{id: id, node: -1, bot: v.Bot, linked: strings.HasPrefix(id, "u:")}
		s.persons[id] = q
	}
	at := max(q.evaluated, v.At)
	s.wakeUntil(q, at, out)
	cause := CauseEvent
	switch {
	case !q.put(v, len(s.catalog)):
		return // an older version: a replay or a late retraction
	case v.Retract:
		cause = CauseUnlink
	case q.linked && v.Epoch == 0 && len(q.devices) > 1 && q.devices[len(q.devices)-1].version == v.Version:
		cause = CauseLink
	}
	q.last = max(q.last, v.Last)
	q.bot = v.Bot
	s.evaluate(q, at, cause, v.Version.Offset, partition, out)
}

// wakeUntil fires the person's wake-ups up to and including t.
func (s *Shard) wakeUntil(q *person, t int64, out *Effects) {
	for q.wake <= t && q.node >= 0 {
		s.evaluate(q, q.wake, CauseTime, -1, -1, out)
	}
}

// evaluate decides the person's path at time t, which never runs backwards.
func (s *Shard) evaluate(q *person, t int64, cause Cause, offset int64, partition int32, out *Effects) {
	v := s.view(q, t)
	node, next := s.p.Tree.Decide(v, t)
	q.evaluated = t
	if node != q.node {
		q.transitions++
		out.Moves = append(out.Moves, Move{Person: q.id, Transition: q.transitions, From: q.node, To: node, Cause: cause, At: t, Offset: offset, Partition: partition})
		q.node, q.since = node, t
	}
	counted := -1
	if t < q.last+s.p.Window && !q.bot && len(q.devices) > 0 {
		counted = node
		next = min(next, q.last+s.p.Window)
	}
	if counted != q.counted() {
		s.audience.move(s.p.Tree, q.counted(), counted, t)
		q.setCounted(counted)
	}
	if e := q.expires(s.p.GapMS, t); e > t {
		next = min(next, e)
	}
	if gone := q.last + s.p.Retention; gone > t {
		next = min(next, gone)
	}
	q.wake = max(next, t+1)
	s.queue(q)
	s.touch(q)
}

func (s *Shard) touch(q *person) {
	if !q.dirty {
		q.dirty = true
		s.dirty = append(s.dirty, q)
	}
}

// view makes the person's features at t: the merge of the devices' vectors by
// the catalogue's rules. It is valid until the next call.
func (s *Shard) view(q *person, t int64) *View {
	v := &s.scratch
	*v = View{Last: q.last, Linked: q.linked, Devices: len(q.devices), SessionEnd: math.MaxInt64}
	clear(s.values)
	v.Values = s.values
	q.merge(v, s.catalog, &s.p.Params, t)
	return v
}

// Advance moves the shard's event time to w: wake-ups that are due fire in the
// order of their times, and the audience of every minute that is over is counted.
func (s *Shard) Advance(w int64, out *Effects) {
	if w <= s.Now {
		return
	}
	for len(s.wakes) > 0 && s.wakes[0].at <= w {
		k := heap.Pop(&s.wakes).(wake)
		q := k.person
		if q.queued != k.at {
			continue // superseded by an earlier entry
		}
		q.queued = 0
		switch {
		case q.gone:
		case q.wake > k.at:
			s.queue(q)
		case q.wake >= q.last+s.p.Retention:
			s.drop(q, q.wake, out)
		default:
			s.evaluate(q, q.wake, CauseTime, -1, -1, out)
		}
	}
	refresh := w/s.p.RefreshMS > s.Now/s.p.RefreshMS
	s.Now = w
	if refresh {
		s.weigh(w, out)
	}
	out.Counts = s.audience.until(w, out.Counts)
}

func (s *Shard) drop(q *person, t int64, out *Effects) {
	q.transitions++
	out.Moves = append(out.Moves, Move{Person: q.id, Transition: q.transitions, From: q.node, To: -1, Cause: CauseRetention, At: t, Offset: -1, Partition: -1})
	q.gone = true
	s.touch(q)
	delete(s.persons, q.id)
	s.Dropped++
}

// weigh sums the members' decayed sums per subtree at w, by summing what is
// there, never by subtracting, and refreshes the members of a segment that has
// turned stale.
func (s *Shard) weigh(w int64, out *Effects) {
	n := s.p.Tree.Len()
	live, long := make([]float64, n), make([]float64, n)
	for _, q := range s.persons {
		if q.node < 0 || q.bot {
			continue
		}
		l, g := q.sums(&s.p.Params, max(w, q.evaluated))
		for _, a := range s.p.Tree.Ancestors(q.node) {
			live[a] += l
			long[a] += g
		}
	}
	turned := s.audience.weigh(w, live, long, s.p.HalfLives, s.p.StaleShare)
	if len(turned) == 0 {
		return
	}
	for _, q := range s.persons {
		if q.counted() >= 0 && q.evaluated < w && anyOf(s.p.Tree.Ancestors(q.node), turned) {
			s.evaluate(q, w, CauseStale, -1, -1, out)
		}
	}
}

func anyOf(path []int, set map[int]bool) bool {
	for _, n := range path {
		if set[n] {
			return true
		}
	}
	return false
}

// Flush makes the rows of all persons evaluated since the last one.
func (s *Shard) Flush(out *Effects) {
	for _, q := range s.dirty {
		q.dirty = false
		out.States = append(out.States, s.row(q))
	}
	s.dirty = s.dirty[:0]
}

func (s *Shard) row(q *person) StateRow {
	t := q.evaluated
	v := s.view(q, t)
	live := v.Live.At(max(t, v.Live.Ref), s.p.HalfLives.Live)
	weight, _ := signal.Weight(v.Live, v.Long, t, s.p.HalfLives)
	return StateRow{Person: q.id, Node: q.node, Since: q.since, Evaluated: t, Next: q.wake, Last: q.last,
		Live: live, Long: v.Long.At(max(t, v.Long.Ref), s.p.HalfLives.Long), Intent: signal.Intent(live, s.p.Kappa), Weight: weight,
		CartValue: v.Values[session.SlotCartValue], Devices: len(q.devices), Transitions: q.transitions, Deleted: q.gone}
}
