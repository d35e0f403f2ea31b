package transforms

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// Grouping is how a job's work is dealt out.
type Grouping struct {
	Shards     int
	Partitions int32 // of the topic of events: they say in which person shard a user is
}

// Grouping is that of the job.
func (s *Spec) Grouping() Grouping { return Grouping{s.Shards, s.Partitions} }

// ErrNotAtRest says that states cannot be dealt out anew: something was on its way
// between shards when they were written.
var ErrNotAtRest = fmt.Errorf("the snapshots are not of a job at rest")

// Regroup makes the snapshots of a job of another grouping those of this one, so
// that nothing is read from the log again. They must be of a job at rest, with
// nothing in the journal behind them.
func Regroup(from []Recovered, was Grouping, b *Built) ([]Recovered, error) {
	old := &Built{Spec: b.Spec, Identity: b.Identity, Segment: b.Segment, board: newBoard(), ledger: newLedger(0)}
	old.Spec.Shards, old.Spec.Partitions = was.Shards, was.Partitions
	r := regrouping{old: old, b: b}
	if err := r.read(from); err != nil {
		return nil, err
	}
	if !r.atRest() {
		return nil, ErrNotAtRest
	}
	return r.deal()
}

type regrouping struct {
	old, b   *Built
	devices  []*DeviceState
	persons  []*PersonState
	audience *AudienceState
}

func (r *regrouping) read(from []Recovered) error {
	n := r.old.Spec.Shards
	if len(from) != 2*n+1 {
		return fmt.Errorf("the changelog is of %d machines, %d shards have %d", len(from), n, 2*n+1)
	}
	for i := range n {
		d, _, err := newDeviceTask(r.old, nil, i, &from[i])
		if err != nil {
			return fmt.Errorf("reading device shard %d: %w", i, err)
		}
		p, err := newPersonTask(r.old, n+i, &from[n+i])
		if err != nil {
			return fmt.Errorf("reading person shard %d: %w", i, err)
		}
		r.devices, r.persons = append(r.devices, d.state), append(r.persons, p.state)
	}
	m, err := newAudienceMachine(r.old, 2*n, &from[2*n])
	if err != nil {
		return fmt.Errorf("reading the audience: %w", err)
	}
	r.audience = m.state
	return nil
}

// atRest reports whether everything that was sent has arrived.
func (r *regrouping) atRest() bool {
	for i, d := range r.devices {
		for to, p := range r.persons {
			if p.seqs[i] != d.seqs[to] {
				return false
			}
		}
	}
	for reporter := range 2 * len(r.devices) {
		s := r.audience.Shards[reporter]
		if told := r.told(reporter).seq; told > 0 && (s == nil || s.Seq != told) {
			return false
		}
	}
	return true
}

func (r *regrouping) told(reporter int) *told {
	if n := len(r.devices); reporter >= n {
		return &r.persons[reporter-n].told
	}
	return &r.devices[reporter].told
}

// who decides of the reporter.
func (r *regrouping) who(reporter int) *segment.Shard {
	if n := len(r.devices); reporter >= n {
		return r.persons[reporter-n].persons
	}
	return r.devices[reporter].persons
}

func (r *regrouping) deal() ([]Recovered, error) {
	spec := &r.b.Spec
	past := r.past()
	shard := func(partition int32) int { return int(partition) % spec.Shards }
	var devices []*identity.Shard
	var locals, users []*segment.Shard
	var waits []waiter
	last, batches, limit := int64(-1), int64(0), r.devices[0].limit
	for i := range r.devices {
		devices, locals = append(devices, r.devices[i].shard), append(locals, r.devices[i].persons)
		users, waits = append(users, r.persons[i].persons), append(waits, r.persons[i].waiting.all()...)
		if d := r.devices[i].limit; lower(d, limit) == limit {
			limit = d
		}
		last, batches = max(last, r.devices[i].last), max(batches, r.persons[i].batches)
	}
	owes := func(device string) int { return shard(event.Home(device, spec.Partitions)) }
	parts, where := identity.Regroup(devices, spec.Shards, shard, &r.b.Identity)
	locals = segment.Regroup(locals, spec.Shards, func(_ string, p *session.Profile) int { return where[p] }, owes, &r.b.Segment)
	users = segment.Regroup(users, spec.Shards, func(user string, _ *session.Profile) int { return spec.PersonShard(user) }, owes, &r.b.Segment)
	a := r.audience
	a.Shards = map[int]*AudienceShard{beforeRegrouping: past}
	out := make([]Recovered, 2*spec.Shards+1)
	for i := range spec.Shards {
		d := NewDeviceState(r.b, nil)
		d.shard, d.persons, d.last, d.told.minute, d.limit = parts[i], locals[i], last, unknownMinute, limit
		p := NewPersonState(r.b)
		p.persons, p.batches, p.told.minute = users[i], batches, unknownMinute
		for _, w := range inOrder(waits) {
			if spec.PersonShard(w.User) == i {
				p.waiting.put(w)
			}
		}
		for from, part := range parts {
			part.Partitions(func(id int32, q *identity.Partition) {
				p.applied[[2]int32{int32(from), id}] = q.Offset
				if from == i {
					d.reached(id, q.Offset)
				}
			})
		}
		out[i].Snapshot, out[spec.Shards+i].Snapshot = snapshotOf(d), snapshotOf(p)
		a.Shards[i] = &AudienceShard{UpTo: a.Decided, Members: locals[i].Counted()}
		a.Shards[spec.userReporter(i)] = &AudienceShard{UpTo: a.Decided, Members: users[i].Counted()}
	}
	var err error
	if out[2*spec.Shards].Snapshot, err = json.Marshal(a); err != nil {
		return nil, fmt.Errorf("encoding the audience's state: %w", err)
	}
	return out, nil
}

// unknownMinute is told by nobody, so that a shard says at once how far it is.
const unknownMinute = -1

// reached notes that all person shards have what the partition has sent.
func (s *DeviceState) reached(partition int32, offset int64) {
	for to := range s.sent {
		s.sent[to][partition] = offset
	}
}

func snapshotOf(s interface{ AppendTo(*codec.Writer) }) []byte {
	var w codec.Writer
	s.AppendTo(&w)
	return w.B
}

// past is what the reporters of before differ from the new ones, minute by minute,
// until all that they knew is counted. The new ones begin with the persons as they
// stand now; before that is so for every one of them, minutes are decided of which
// the old ones have told or would have.
func (r *regrouping) past() *AudienceShard {
	n := r.b.Segment.Tree.Len()
	out := &AudienceShard{Members: make([]int32, n)}
	if p := r.audience.Shards[beforeRegrouping]; p != nil {
		out.add(p.Members, p.Pending, make([]int32, n))
	}
	for reporter := range 2 * len(r.devices) {
		who := r.who(reporter)
		at, told := make([]int32, n), []segment.MinuteCounts(nil)
		if s := r.audience.Shards[reporter]; s != nil {
			at, told = s.Members, s.Pending
			out.weigh(s, r.old)
		}
		all := append(append([]segment.MinuteCounts(nil), told...), who.ToCount()...)
		out.add(at, settled(at, all, who), who.Counted())
	}
	return out
}

// settled ends the minutes with what a reporter counts. It is what it has told, or will be,
// but for one that would count all anew with its next batch (Shard.Recount).
func settled(at []int32, minutes []segment.MinuteCounts, who *segment.Shard) []segment.MinuteCounts {
	minute := who.Now / 60_000
	if n := len(minutes); n > 0 {
		at, minute = minutes[n-1].Members, max(minute, minutes[n-1].Minute)
	}
	if is := who.Counted(); !slices.Equal(at, is) {
		minutes = append(minutes, segment.MinuteCounts{Minute: minute, Members: is})
	}
	return minutes
}

// add adds what another one tells, less what it comes to in the end.
func (s *AudienceShard) add(at []int32, minutes []segment.MinuteCounts, end []int32) {
	was := append([]int32(nil), s.Members...)
	mine, theirs := was, at
	less := func(a, b []int32) []int32 {
		out := make([]int32, len(a))
		for i := range out {
			out[i] = a[i] + b[i] - end[i]
		}
		return out
	}
	s.Members = less(mine, theirs)
	var both []segment.MinuteCounts
	for i, j := 0, 0; i < len(s.Pending) || j < len(minutes); {
		var m segment.MinuteCounts
		if j == len(minutes) || i < len(s.Pending) && s.Pending[i].Minute <= minutes[j].Minute {
			m.Minute = s.Pending[i].Minute
		} else {
			m.Minute = minutes[j].Minute
		}
		for ; i < len(s.Pending) && s.Pending[i].Minute == m.Minute; i++ {
			mine = s.Pending[i].Members
		}
		for ; j < len(minutes) && minutes[j].Minute == m.Minute; j++ {
			theirs = minutes[j].Members
		}
		m.Members = less(mine, theirs)
		both = append(both, m)
	}
	s.Pending = both
}

// weigh adds the sums that another one told last: they count until the new ones
// have told theirs.
func (s *AudienceShard) weigh(o *AudienceShard, b *Built) {
	if o.Live == nil {
		return
	}
	if s.Live == nil {
		n := len(o.Live)
		s.Live, s.Long, s.Weighed = make([]float64, n), make([]float64, n), o.Weighed
	}
	at := max(s.Weighed, o.Weighed)
	for _, x := range []struct {
		sum, other []float64
		half       float64
	}{{s.Live, o.Live, b.Spec.HalfLives.Live}, {s.Long, o.Long, b.Spec.HalfLives.Long}} {
		for n := range x.sum {
			x.sum[n] = weighedAt(x.sum[n], s.Weighed, at, x.half) + weighedAt(x.other[n], o.Weighed, at, x.half)
		}
	}
	s.Weighed = at
}

// weighedAt is what a sum of one minute has decayed to by another.
func weighedAt(sum float64, from, to int64, half float64) float64 {
	return signal.Decayed{Sum: sum, Ref: from * 60_000}.At(to*60_000, half)
}
