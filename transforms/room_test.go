package transforms

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rows"
)

// modelRoom is what the model knows of the limit of devices: it looks at all of them
// each time.
type modelRoom struct {
	lives map[string]*life
	gone  map[int32]*[2][]modelTrail // events of devices that were let go: short, long
	floor map[int32]*[2]int64
	let   map[int32]int
}

// life is a device, which may have been let go before.
type life struct {
	first int      // of its epochs, since the retention forgot what was before
	again bool     // its partition had let devices go before it came
	heard int64    // when it was last heard of
	over  []*epoch // of those that were let go
}

type modelTrail struct {
	device      string
	id          uint64
	time, clock int64
}

func (r *modelRoom) life(device string) *life {
	if r.lives == nil {
		r.lives, r.gone, r.floor, r.let = map[string]*life{}, map[int32]*[2][]modelTrail{}, map[int32]*[2]int64{}, map[int32]int{}
	}
	if r.lives[device] == nil {
		r.lives[device] = &life{}
	}
	return r.lives[device]
}

// makeRoom lets devices go for n new ones, as of a record, and those of one event that
// are silent for so long as the limit of these says.
func (m *model) makeRoom(e *event.Event, n int) {
	clock, spec := m.clock(e.Partition), &m.b.Spec
	m.unlearn(e.Partition)
	if spec.SingleMS > 0 {
		for _, d := range m.inTurn(e.Partition) {
			if m.rankOf(d) == 0 && m.room.life(d).heard+spec.SingleMS <= clock {
				m.letGo(d, e, "retention")
			}
		}
	}
	parts := int(spec.Partitions)
	if limit := (spec.MaxState + parts - 1) / parts; limit > 0 {
		for turn := m.inTurn(e.Partition); len(turn)+n > limit && len(turn) > 0; turn = turn[1:] {
			m.letGo(turn[0], e, "evicted")
		}
	}
	if l := m.room.life(e.Device); n > 0 {
		l.heard = 0
		l.again = m.room.let[e.Partition] > 0
	}
}

// hear notes that something came of a device at a time.
func (m *model) hear(e *event.Event, t int64) {
	l := m.room.life(e.Device)
	if e.Receipt > 0 {
		t = min(t, m.clock(e.Partition))
	}
	l.heard = max(l.heard, t)
}

// inTurn are the devices of a partition in the order in which they go.
func (m *model) inTurn(partition int32) (out []string) {
	for d, es := range m.devices {
		if m.partition[d] == partition && !es[len(es)-1].blank() && m.clock(partition) < m.last(es)+m.b.Spec.Retention {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(m.rankOf(a), m.rankOf(b)), cmp.Compare(m.room.life(a).heard, m.room.life(b).heard), cmp.Compare(a, b))
	})
	return out
}

// rankOf is 0 for a device of one event of which there is no proof, 1 for others
// without one, 2 for users'.
func (m *model) rankOf(device string) int {
	events := 0
	for _, e := range m.devices[device][m.room.life(device).first:] {
		if e.user != "" {
			return 2
		}
		events += len(e.events) + len(e.late)
	}
	if events > 1 {
		return 1
	}
	return 0
}

func (m *model) letGo(device string, e *event.Event, cause string) {
	spec, clock, l := &m.b.Spec, m.clock(e.Partition), m.room.life(device)
	es := m.devices[device]
	gone := m.room.gone[e.Partition]
	if gone == nil {
		gone = &[2][]modelTrail{}
		m.room.gone[e.Partition], m.room.floor[e.Partition] = gone, &[2]int64{}
	}
	var had [2][]modelTrail
	add := func(long int, id uint64, t int64) {
		if slices.ContainsFunc(gone[long], func(x modelTrail) bool { return x.device == device && x.id == id }) {
			return
		}
		had[long] = append(had[long], modelTrail{device, id, t, clock})
	}
	for _, p := range es[l.first:] {
		for _, ev := range slices.Concat(p.events, p.late) {
			if allowed := m.allowed(ev.Kind); allowed > m.b.Spec.LatenessMS && ev.Time >= clock-allowed {
				add(1, ev.ID, ev.Time)
			}
			if ev.Time >= clock-m.b.Spec.LatenessMS {
				add(0, ev.ID, ev.Time)
			}
		}
	}
	for id := range m.resets[device] {
		add(1, id, clock)
	}
	for i := range had {
		slices.SortFunc(had[i], func(a, b modelTrail) int { return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.id, b.id)) })
		for _, x := range had[i] {
			m.room.learn(e.Partition, i, x, 2*((spec.MaxState+int(spec.Partitions)-1)/int(spec.Partitions)))
		}
	}
	m.room.let[e.Partition]++
	if last := es[len(es)-1]; last.user == "" && len(last.events)+len(last.late) > 0 {
		m.until(device, clock)
		m.move(device, -1, max(m.evaluated[device], clock), cause)
	}
	for _, p := range es[l.first:] {
		p.erased = clock
	}
	m.evaluated[device] = 0
	m.today[device], m.day[device], m.resets[device] = nil, 0, nil
	m.past[device] = append(m.past[device], es...)
	l.over, l.first = append(l.over, es...), 0
	m.devices[device] = []*epoch{{}}
}

// unknowable reports whether an event may be one of a device that was let go, of which
// too many have been since.
func (m *model) unknowable(e *event.Event) bool {
	floor, l, long := m.room.floor[e.Partition], m.room.life(e.Device), 0
	if m.allowed(e.Kind) > m.b.Spec.LatenessMS {
		long = 1
	}
	es := m.devices[e.Device]
	known := es != nil && !es[len(es)-1].blank()
	return floor != nil && floor[long] > 0 && e.Time <= floor[long] && (!known || l.again)
}

// learn keeps an event of a device that was let go, and at most so many.
func (r *modelRoom) learn(partition int32, long int, x modelTrail, most int) {
	gone, floor := r.gone[partition], r.floor[partition]
	for gone[long] = append(gone[long], x); most > 0 && len(gone[long]) > most; gone[long] = gone[long][1:] {
		floor[long] = max(floor[long], min(gone[long][0].time, gone[long][0].clock))
	}
}

// unlearn lets go what is too late by now.
func (m *model) unlearn(partition int32) {
	gone := m.room.gone[partition]
	for i, allowed := range []int64{m.b.Spec.LatenessMS, m.allowed(event.KindOrder)} {
		for gone != nil && len(gone[i]) > 0 && gone[i][0].time < m.clock(partition)-allowed {
			gone[i] = gone[i][1:]
		}
	}
}

// resets reports whether a log-out is one of a device that was let go.
func (r *modelRoom) resets(partition int32, device string, id uint64) bool {
	gone := r.gone[partition]
	return gone != nil && slices.ContainsFunc(gone[1], func(x modelTrail) bool { return x.device == device && x.id == id })
}

// erase forgets what is left of a device that was let go.
func (r *modelRoom) erase(device string) {
	r.life(device).over = nil
	theirs := func(x modelTrail) bool { return x.device == device }
	for _, gone := range r.gone {
		gone[0], gone[1] = slices.DeleteFunc(gone[0], theirs), slices.DeleteFunc(gone[1], theirs)
	}
}

// namedLimit is a limit of devices that some seeds have by name: with five devices a limit
// is met by nearly each record, and the heaps and what is still known of those who went
// are never more than a handful. Here there are some three times as many as may stay.
const namedLimit = 50

// limitRoom gives a job limits that its few devices meet, mostly.
func limitRoom(spec *Spec, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 23))
	if r.IntN(3) > 0 {
		spec.MaxState = 1 + r.IntN(6)
	}
	if hasNamedLimit(seed) {
		spec.MaxState = namedLimit
	}
	if r.IntN(3) == 0 {
		spec.SingleMS = (40 * time.Minute).Milliseconds()
	}
}

func hasNamedLimit(seed uint64) bool { return seed%11 == 6 }

// roomLog is a randomLog of as many devices as meet the limit that the seed has.
func roomLog(r *rand.Rand, seed uint64, parts int32, n int, linked, late bool) *testLog {
	if hasNamedLimit(seed) {
		return crowdedLog(r, parts, n+3*namedLimit, 3*namedLimit, linked, late)
	}
	return randomLog(r, parts, n, linked, late)
}

// evicted is how many persons were let go for want of room, as rows tell.
func (ts tables) evicted() (n int) {
	for _, row := range ts[rows.TableSegmentEvents] {
		if row["cause"] == "evicted" {
			n++
		}
	}
	return n
}
