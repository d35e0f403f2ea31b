package transforms

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/testing/oracle"
	"github.com/microseg/microseg/transforms/wire"
)

// model is the obviously right version of both stages: it keeps every event,
// sorts, folds from nothing, and looks at every second for what time changes.
type model struct {
	b      *Built
	clocks map[int32]*modelClock
	older  int // of the records that come, by a program whose clocks went by any event
	seen   map[string]bool
	old    bool // an event beyond the short lateness was accepted
	// devices have the events of each epoch and whom they are linked to.
	devices          map[string][]*epoch
	good, duplicate  int
	dead             map[event.Reason]int
	chains           map[string][]string // of unlinked devices
	node             map[string]int
	evaluated, moves map[string]int64
	partition        map[string]int32
	lives            map[string]int      // how often a device was deleted
	past             map[string][]*epoch // and what it did before
	history          map[string][]place
	order            []string
	day              map[string]int64           // of the device: the last in which a user was linked to it, or was to be
	today            map[string][]string        // which users these were
	resets           map[string]map[uint64]bool // ids of a device's log-outs
	excess           map[string]map[string]bool // alert → who was seen that day
	verified         map[identity.Place]bool    // records of pairs of which there is a proof; nil: all whose trust says so
	accepted         []event.Event              // good events, and controls
	room             modelRoom
	gone             []erasedEpoch
}

// place is where a person stands from a time on.
type place struct {
	at   int64
	node int
}

type epoch struct {
	number int64 // offset of the record that opened it, 0 unless another epoch was there
	reset  bool  // a log-out opened it
	opened int64 // at this data clock
	erased int64 // at this one; 0: not
	user   string
	claim  string // a user whom it names without a proof
	left   string // the user whom it was taken from, until somebody else comes
	shared bool   // on a device that too many share: nobody's for good
	shown  bool   // it is part of its user, who has not too many devices
	events []event.Event
	late   []event.Event // too late for a session
}

// blank says that nothing is known of the device.
func (e *epoch) blank() bool { return len(e.events)+len(e.late) == 0 && !e.reset }

// named is whom the epoch names, proven or not.
func (e *epoch) named() string { return e.user + e.claim }

func newModel(b *Built) *model {
	return &model{b: b, clocks: map[int32]*modelClock{}, seen: map[string]bool{}, devices: map[string][]*epoch{}, dead: map[event.Reason]int{},
		chains: map[string][]string{}, node: map[string]int{}, evaluated: map[string]int64{}, moves: map[string]int64{}, partition: map[string]int32{}, lives: map[string]int{}, day: map[string]int64{}, today: map[string][]string{}, resets: map[string]map[uint64]bool{}, excess: map[string]map[string]bool{}, past: map[string][]*epoch{}, history: map[string][]place{}}
}

// take is one record of the log, in the order of the appends.
func (m *model) take(t *testing.T, d *event.Decoder, r identity.Record) {
	var e event.Event
	if err := d.Decode(r.Value, r.Trust, 0, &e); err != nil {
		m.dead[event.Malformed]++
		return
	}
	e.Offset, e.Partition = r.Offset, r.Partition
	if m.verified != nil && e.Trust != event.Linked {
		if e.Trust = event.Public; m.verified[placeOf(&e)] {
			e.Trust = event.Server
		}
	}
	m.older--
	late := m.clock(r.Partition) // by it is judged what is late
	clock := m.ownClock(r.Partition, e.Device)
	m.makeRoom(&e, 0)
	if e.Kind.Control() {
		m.accepted = append(m.accepted, e)
	}
	switch e.Kind {
	case event.KindDelete:
		m.good++
		m.erase(&e, clock)
		return
	case event.KindRebuild: // it changes nothing: the model reads everything as it reads now
		m.good++
		return
	case event.KindUnlink:
		m.good++
		m.unlink(&e, clock)
		return
	case event.KindDisclaim:
		m.good++
		for _, p := range m.devices[e.Device] {
			if p.claim == e.User {
				p.claim = ""
			}
		}
		return
	case event.KindDeleteUser:
		m.good++
		m.eraseUser(&e, clock)
		return
	case event.KindReset:
		m.reset(&e, clock)
		return
	}
	id := fmt.Sprint(e.Device, m.lives[e.Device], e.ID)
	switch {
	case late > 0 && e.Time < late-m.allowed(e.Kind), m.unknowable(&e):
		m.dead[event.Late]++
		return
	case m.seen[id]:
		m.duplicate++
		return
	}
	m.clocks[r.Partition].take(&e, m.older >= 0)
	clock = max(clock, m.clock(r.Partition), e.Time)
	if e.Kind == event.KindAlias && m.refuses(&e, clock) {
		m.dead[event.Identity]++
		return
	}
	m.good++
	m.accepted = append(m.accepted, e)
	m.old = m.old || e.Time < clock-m.b.Spec.LatenessMS
	m.seen[id] = true
	m.partition[e.Device] = r.Partition
	m.accept(&e, clock, late > 0 && e.Time < late-m.b.Spec.LatenessMS)
}

// allowed is how late an event of the kind may be.
func (m *model) allowed(k event.Kind) int64 {
	switch k {
	case event.KindOrder, event.KindRefund, event.KindIdentify, event.KindAlias:
		return max(m.b.Spec.LatenessMS, min(m.b.Spec.LongMS, m.b.Spec.Retention))
	}
	return m.b.Spec.LatenessMS
}

// present is the present epoch of a device, as of a data clock.
func (m *model) present(device string, clock int64) *epoch {
	es := m.devices[device]
	if es == nil {
		es = []*epoch{{}}
		m.order = append(m.order, device)
		m.node[device] = -1
	}
	if d := m.last(es); !es[len(es)-1].blank() && clock >= d+m.b.Spec.Retention {
		m.forget(device, d+m.b.Spec.Retention)
		es = append(es, &epoch{})
		m.room.life(device).first = len(es) - 1
		m.today[device], m.day[device], m.resets[device] = nil, 0, nil
	}
	m.devices[device] = es
	return es[len(es)-1]
}

func (m *model) open(device string, e *epoch) *epoch {
	m.devices[device] = append(m.devices[device], e)
	return e
}

func (m *model) accept(e *event.Event, clock int64, late bool) {
	last := m.present(e.Device, m.clock(e.Partition))
	if last.blank() {
		m.makeRoom(e, 1)
	}
	m.hear(e, e.Time)
	at := max(m.evaluated[e.Device], e.Time)
	m.until(e.Device, at)
	end := func() { // of the person that is the device
		if last.user == "" && len(last.events)+len(last.late) > 0 {
			m.move(e.Device, -1, at, "link")
			m.evaluated[e.Device] = 0
		}
	}
	switch {
	case e.User == "" || e.User == last.named():
	case !e.Trust.Verified():
		if last.named() != "" || last.shared {
			end()
			last = m.open(e.Device, &epoch{number: e.Offset})
		}
		last.claim, last.left = e.User, ""
	case !m.admits(e, clock):
		if last.named() != "" {
			last = m.open(e.Device, &epoch{number: e.Offset})
		}
		last.shared, last.left = true, ""
	case last.named() == "" && !last.shared && (e.Trust != event.Linked || len(last.events)+len(last.late) == 0):
		end()
		last.user, last.left = e.User, ""
	default:
		end()
		last = m.open(e.Device, &epoch{user: e.User, number: e.Offset})
	}
	if late {
		last.late = append(last.late, *e)
	} else {
		last.events = append(last.events, *e)
	}
	if last.user == "" {
		at := max(m.evaluated[e.Device], e.Time)
		m.evaluated[e.Device] = at
		m.move(e.Device, m.path(e.Device, at), at, "event")
		return
	}
	if with := m.devicesOf(last.user); with[e.Device] || m.b.Spec.MaxDevices == 0 || len(with) < m.b.Spec.MaxDevices {
		last.shown = true
	} else {
		m.exceeds("u:"+last.user, e.Device, clock)
	}
}

// devicesOf are the devices that are part of a user.
func (m *model) devicesOf(user string) map[string]bool {
	out := map[string]bool{}
	for d, es := range m.devices {
		for _, e := range es {
			if e.user == user && e.shown {
				out[d] = true
			}
		}
	}
	return out
}

func (m *model) exceeds(who, what string, t int64) {
	key := fmt.Sprintf("%s %d", who, t/session.DayMS*session.DayMS)
	if m.excess[key] == nil {
		m.excess[key] = map[string]bool{}
	}
	m.excess[key][what] = true
}

// full reports whether the device had as many users on the day as it may,
// without this one.
func (m *model) full(e *event.Event, clock int64) bool {
	if day := clock / session.DayMS; day > m.day[e.Device] {
		m.day[e.Device], m.today[e.Device] = day, nil
	}
	i := slices.Index(m.today[e.Device], e.User)
	if i < 0 {
		i = len(m.today[e.Device])
	}
	return m.b.Spec.MaxUsers > 0 && i >= m.b.Spec.MaxUsers
}

func (m *model) admits(e *event.Event, clock int64) bool {
	full := m.full(e, clock)
	if !slices.Contains(m.today[e.Device], e.User) {
		m.today[e.Device] = append(m.today[e.Device], e.User)
	}
	if full {
		m.exceeds("d:"+e.Device, e.User, clock)
	}
	return !full
}

// refuses reports whether an alias would merge two users.
func (m *model) refuses(e *event.Event, clock int64) bool {
	if m.devices[e.Device] == nil {
		return true
	}
	last := m.present(e.Device, m.clock(e.Partition))
	return last.blank() || last.named() != "" && last.named() != e.User || last.shared || last.named() == "" && m.full(e, clock)
}

// reset begins an epoch that is nobody's, if somebody was logged in.
func (m *model) reset(e *event.Event, clock int64) {
	last := m.present(e.Device, m.clock(e.Partition))
	m.partition[e.Device] = e.Partition
	if clock == 0 {
		clock = m.alone(e.Partition)
	}
	if m.resets[e.Device][e.ID] || m.room.resets(e.Partition, e.Device, e.ID) {
		m.duplicate++
		return
	}
	if last.blank() {
		m.makeRoom(e, 1)
	}
	if m.good++; m.resets[e.Device] == nil {
		m.resets[e.Device] = map[uint64]bool{}
	}
	m.resets[e.Device][e.ID] = true
	switch {
	case last.blank():
		m.hear(e, clock)
		last.number, last.reset, last.opened = e.Offset, true, clock
	case last.named() != "":
		m.hear(e, clock)
		if last.user == "" {
			m.until(e.Device, max(m.evaluated[e.Device], clock))
			m.move(e.Device, -1, max(m.evaluated[e.Device], clock), "link")
			m.evaluated[e.Device] = 0
		}
		m.open(e.Device, &epoch{number: e.Offset, reset: true, opened: clock})
	}
}

// unlink takes all epochs of a device from a user.
func (m *model) unlink(e *event.Event, clock int64) {
	if m.devices[e.Device] == nil {
		return
	}
	last := m.present(e.Device, m.clock(e.Partition))
	for _, p := range m.devices[e.Device] {
		if p.claim == e.User {
			p.claim = ""
		}
		if p.user != e.User {
			continue
		}
		p.user, p.left, p.shown = "", e.User, false
		if p == last {
			m.evaluated[e.Device] = clock
			m.move(e.Device, m.path(e.Device, clock), clock, "unlink")
		}
	}
}

// erasedEpoch is one that was deleted, at an offset.
type erasedEpoch struct {
	device     string
	of         string // the user
	offset, to int64  // of the deletion; where the next epoch began
	partition  int32
	*epoch
}

// eraseUser forgets what a user did on a device. Who comes next begins anew.
func (m *model) eraseUser(e *event.Event, clock int64) {
	if m.devices[e.Device] == nil {
		return
	}
	last := m.present(e.Device, m.clock(e.Partition))
	theirs := last.user == e.User || last.left == e.User
	if theirs && last.user == "" && len(last.events)+len(last.late) > 0 {
		m.until(e.Device, max(m.evaluated[e.Device], clock))
		m.move(e.Device, -1, max(m.evaluated[e.Device], clock), "link")
		m.evaluated[e.Device] = 0
	}
	var kept []*epoch
	for i, p := range m.devices[e.Device] {
		if p.claim == e.User {
			p.claim = ""
		}
		if p.user != e.User && p.left != e.User {
			kept = append(kept, p)
			continue
		}
		to := e.Offset
		if es := m.devices[e.Device]; i+1 < len(es) {
			to = es[i+1].number
		}
		m.past[e.Device] = append(m.past[e.Device], p)
		m.gone = append(m.gone, erasedEpoch{e.Device, e.User, e.Offset, to, e.Partition, p})
	}
	if theirs {
		kept = append(kept, &epoch{number: e.Offset, reset: true, opened: clock})
	}
	m.devices[e.Device] = kept
}

// erase forgets a device whole, as of its clock.
func (m *model) erase(at *event.Event, clock int64) {
	device := at.Device
	m.lives[device]++
	m.room.erase(device)
	es := m.devices[device]
	if es == nil {
		return
	}
	m.today[device], m.day[device], m.resets[device] = nil, 0, nil
	if last := es[len(es)-1]; !last.blank() {
		if gone := m.last(es) + m.b.Spec.Retention; m.clock(at.Partition) >= gone {
			m.forget(device, gone)
		} else if last.user == "" && len(last.events)+len(last.late) > 0 {
			m.until(device, clock)
			m.move(device, -1, max(m.evaluated[device], clock), "erased")
		}
	}
	m.evaluated[device] = 0
	for _, e := range es {
		e.erased = clock
	}
	m.past[device] = append(m.past[device], es...)
	m.devices[device] = []*epoch{{}}
	m.room.life(device).first = 0
}

// last is the newest event time of a device's present epoch.
func (m *model) last(es []*epoch) (t int64) {
	t = es[len(es)-1].opened
	for _, e := range append(slices.Clone(es[len(es)-1].events), es[len(es)-1].late...) {
		t = max(t, e.Time)
	}
	return t
}

// forget drops the person of an unlinked device at the end of its retention.
func (m *model) forget(device string, t int64) {
	if es := m.devices[device]; es[len(es)-1].user == "" && len(es[len(es)-1].events)+len(es[len(es)-1].late) > 0 {
		m.until(device, t)
		m.move(device, -1, t, "retention")
		m.evaluated[device] = 0
	}
}

// until finds what time changes for an unlinked device up to t: every second,
// and within the second in which its path changes, by halving.
func (m *model) until(device string, t int64) {
	if es := m.devices[device]; es == nil || es[len(es)-1].user != "" || len(es[len(es)-1].events)+len(es[len(es)-1].late) == 0 {
		return
	}
	const step = 1000
	at := m.evaluated[device]
	for at < t {
		next := min(at+step, t)
		if m.path(device, next) == m.node[device] {
			at = next
			continue
		}
		for at+1 < next {
			if mid := (at + next) / 2; m.path(device, mid) == m.node[device] {
				at = mid
			} else {
				next = mid
			}
		}
		at = next
		m.move(device, m.path(device, at), at, "time")
	}
	m.evaluated[device] = max(m.evaluated[device], t)
}

func (m *model) move(device string, to int, at int64, cause string) {
	from := m.node[device]
	if from == to {
		return
	}
	if from == -1 {
		m.moves[device] = 0 // who comes back is somebody new
	}
	m.moves[device]++
	m.node[device] = to
	m.history[device] = append(m.history[device], place{at, to})
	name := func(n int) string { return pathOrNone(m.b.Segment.Tree, n) }
	m.chains[device] = append(m.chains[device], fmt.Sprintf("d:%s %d %s -> %s at %d (%s)", device, m.moves[device], name(from), name(to), at, cause))
}

// fold is the profile of some events, from nothing.
func (m *model) fold(e *epoch) *session.Profile {
	p := m.b.Identity.Session
	p.Lateness = 1 << 60
	q := &session.Profile{}
	for i := range e.events {
		q.Add(&e.events[i], &p)
	}
	for i := range e.late {
		q.AddLate(&e.late[i], &p)
	}
	return q
}

func (m *model) path(device string, t int64) int {
	es := m.devices[device]
	q := m.fold(es[len(es)-1])
	v := segment.View{Live: q.Live, Long: q.Long, Last: q.Last, SessionEnd: q.End(m.b.Spec.GapMS), Devices: 1, Values: m.values(q)}
	node, _ := m.b.Segment.Tree.Decide(&v, t)
	return node
}

func (m *model) values(q *session.Profile) []float64 {
	v := make([]float64, len(m.b.Segment.Schema.Stored()))
	q.Fill(v, len(m.b.Spec.Event.Elements))
	return v
}

// linked are the parts of a user's devices, in the order of the devices.
func (m *model) linked(user string) (out []*oracle.Part) {
	for _, d := range slices.Sorted(slices.Values(m.order)) {
		for _, e := range m.devices[d] {
			if e.user == user && e.shown {
				sorted := slices.Clone(e.events)
				slices.SortFunc(sorted, func(a, b event.Event) int {
					return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
				})
				out = append(out, &oracle.Part{Device: d, Events: sorted, Late: e.late, Fold: m.fold(e)})
			}
		}
	}
	return out
}

// users are the paths of the users in the end: a fold over all devices that are
// linked to each, by the rules of the catalogue. A device of another shard may
// have taken a user to a later time than its own shard has.
func (m *model) users(t *testing.T, got tables) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, es := range m.devices {
		for _, e := range es {
			if e.user == "" || !e.shown || out["u:"+e.user] != "" {
				continue
			}
			qs := m.linked(e.user)
			end := m.end(m.b.Spec.PersonShard(e.user))
			if row := got[rows.TableSegmentState]["test|u:"+e.user]; row != nil {
				at, err := strconv.ParseInt(row["evaluated_at"], 10, 64)
				check(t, err)
				end = max(end, at)
			}
			node, _ := m.b.Segment.Tree.Decide(m.merge(qs, end), end)
			out["u:"+e.user] = m.b.Segment.Tree.Path(node)
		}
	}
	return out
}

func (m *model) merge(parts []*oracle.Part, t int64) *segment.View {
	h, gap := m.b.Spec.HalfLives, m.b.Spec.GapMS
	v := &segment.View{Linked: true, Devices: len(parts), Values: make([]float64, len(m.b.Segment.Schema.Stored()))}
	for _, p := range parts {
		q := p.Fold
		v.Live, v.Long, v.Last = v.Live.Merge(q.Live, h.Live), v.Long.Merge(q.Long, h.Long), max(v.Last, q.Last)
	}
	for _, p := range parts {
		v.SessionEnd = max(v.SessionEnd, p.Fold.End(gap))
	}
	oracle.Merge(v.Values, parts, m.b.Segment.Schema.Stored(), gap, t)
	return v
}

// runPlain runs both stages over the log without any fault.
func runPlain(t *testing.T, spec *Spec, l *testLog, elements []element) tables {
	t.Helper()
	return runPlainWith(t, spec, l, elements, func(rows.Batch) {})
}

// runPlainWith lets see every batch of rows as it comes.
func runPlainWith(t *testing.T, spec *Spec, l *testLog, elements []element, see func(rows.Batch)) tables {
	t.Helper()
	return runAgain(t, spec, l, elements, nil, see)
}

// runAgain reads the states from their snapshots now and then, if there is a
// randomness.
func runAgain(t *testing.T, spec *Spec, l *testLog, elements []element, r *rand.Rand, see func(rows.Batch)) tables {
	t.Helper()
	b, err := spec.buildOnce()
	check(t, err)
	devices, err := NewDeviceStage(b, l)
	check(t, err)
	persons := NewPersonStage(b)
	ds, ps := make([]*DeviceState, spec.Shards), make([]*PersonState, spec.Shards)
	for i := range spec.Shards {
		ds[i], ps[i] = NewDeviceState(b, l), NewPersonState(b)
	}
	out := tables{}
	add := func(r rows.Batch) { see(r); out.add(t, r) }
	publish := func(b []byte) { out.publish(t, b) }
	audience := NewAudienceState(b)
	counts := func(_ int, c []byte) {
		var told shardCounts
		check(t, json.Unmarshal(c, &told))
		check(t, audience.Apply(&told, b, add, nil))
	}
	for _, e := range elements {
		var vectors []element
		_, _, err := devices.Apply(context.Background(), ds[e.key], e.batch, Outputs{Rows: add, Counts: counts, Records: publish,
			Vectors: func(to int, v []byte) { vectors = append(vectors, element{to, v}) }})
		check(t, err)
		if r != nil && r.IntN(3) == 0 {
			ds[e.key], err = ReadDeviceState(snapshotOf(ds[e.key]), b, l)
			check(t, err)
		}
		for _, v := range vectors {
			if len(l.poison) > 0 {
				v.batch = wire.WithPoison(v.batch, l.poison)
			}
			_, err := persons.Apply(context.Background(), ps[v.key], v.key, v.batch, Outputs{Rows: add, Counts: counts, Records: publish})
			check(t, err)
			if r != nil && r.IntN(3) == 0 {
				ps[v.key], err = ReadPersonState(snapshotOf(ps[v.key]), b)
				check(t, err)
			}
		}
	}
	return out
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// chains are the moves of unlinked devices, in the model's words.
func chains(ts tables) []string {
	moves := map[string]bool{}
	for _, r := range ts[rows.TableSegmentEvents] {
		if strings.HasPrefix(r["person"], "d:") {
			moves[fmt.Sprintf("%s %s %s -> %s at %s (%s)", r["person"], r["transition"], r["from_path"], r["to_path"], r["at"], r["cause"])] = true
		}
	}
	return slices.Sorted(maps.Keys(moves))
}

func isUser(row map[string]string) bool { return strings.HasPrefix(row["person"], "u:") }

// TestStagesEqualModel: verdicts, sessions, every move of every anonymous
// person, and where each user stands in the end, whatever the cuts of the
// batches, the shards and the order of arrival.
func TestStagesEqualModel(t *testing.T) {
	t.Parallel()
	gone := 0 // with a limit of 50
	for seed := range seeds(80) {
		r := rand.New(rand.NewPCG(seed, 1))
		spec := testSpec(t, fmt.Sprint("model-", seed), 1+r.IntN(2), 3)
		linked := true
		if r.IntN(2) == 0 {
			spec.Retention, linked = (2 * time.Hour).Milliseconds(), false
		}
		limitRoom(&spec, seed)
		// What was evaluated when a late event comes depends on the cuts; then
		// only the end is the model's.
		late := r.IntN(2) == 0
		l := roomLog(r, seed, spec.Partitions, 20+r.IntN(80), linked, late)
		b, err := spec.buildOnce()
		check(t, err)
		got := runPlain(t, &spec, l, l.cut(t, &spec, r))
		d, err := event.NewDecoder(spec.Event)
		check(t, err)
		m := newModel(b)
		for _, rec := range l.arrival {
			m.take(t, d, rec)
		}
		late = late || m.old // an alias that is sent again after its device was deleted
		got.erase(t, l.tombstones(t, &spec))
		compareVerdicts(t, seed, got, m)
		compareSessions(t, seed, got, m)
		comparePersons(t, seed, got, m, late)
		comparePublished(t, seed, got)
		if !late && !linked {
			compareAudience(t, seed, got, m)
		}
		if spec.MaxState == namedLimit {
			gone += got.evicted()
		}
	}
	if gone == 0 && !chosen() {
		t.Error("no limit of 50 was met")
	}
	t.Logf("%d were let go with a limit of 50", gone)
}

// compareAudience counts, for every minute that was decided, who was where.
// comparePublished: serving knows of each person what the record says.
func comparePublished(t *testing.T, seed uint64, got tables) {
	t.Helper()
	want := got.list(rows.TableSegmentState, func(r map[string]string) bool { return r["deleted"] == "0" },
		"site", "evaluated_at", "next_evaluation", "intent", "signal_weight", "live", "long", "cart_value", "orders", "revenue", "refunded", "devices", "transitions", "bot", "deleted", "version", "decided_at")
	same(t, seed, "published records", want, got.list(tablePublished, func(r map[string]string) bool { return r["user"] == "" }, "user", "at"))
	for _, r := range got[tablePublished] {
		if u := r["user"]; u != "" && got[tablePublished]["u:"+u] == nil && got[rows.TableSegmentState]["u:"+u] != nil {
			t.Errorf("seed %d: %s points to user %s, of whom nothing is published", seed, r["person"], u)
		}
	}
}

func compareAudience(t *testing.T, seed uint64, got tables, m *model) {
	t.Helper()
	end := m.end(0)
	for shard := range m.b.Spec.Shards {
		end = min(end, m.end(shard))
	}
	n := 0
	for _, r := range got[rows.TableAudience] {
		minute, err := strconv.ParseInt(r["minute"], 10, 64)
		check(t, err)
		if minute > end {
			continue // not every shard has come so far
		}
		n++
		want := 0
		for _, d := range m.order {
			node, ok := m.b.Segment.Tree.Find(r["path"])
			if at := m.nodeAt(d, minute); ok && at >= 0 && slices.Contains(m.b.Segment.Tree.Ancestors(at), node) && m.activeAt(d, minute) {
				want++
			}
		}
		if r["members"] != strconv.Itoa(want) {
			t.Fatalf("seed %d: %s has %s members at %d, the model %d", seed, r["path"], r["members"], minute, want)
		}
	}
	if n == 0 && end > 0 {
		t.Fatalf("seed %d: no minute was decided", seed)
	}
}

// nodeAt is where a device's person stood at an instant, its moves then included.
func (m *model) nodeAt(device string, at int64) int {
	node := -1
	for _, h := range m.history[device] {
		if h.at <= at {
			node = h.node
		}
	}
	return node
}

// activeAt reports whether the device counted at an instant: it had a visit of some
// seconds, by the receipts of its events, and not too long before.
func (m *model) activeAt(device string, at int64) bool {
	for _, e := range slices.Concat(m.past[device], m.devices[device]) {
		if e.erased > 0 && e.erased <= at {
			continue
		}
		var receipts []int64
		recent := false
		for _, ev := range slices.Concat(e.events, e.late) {
			if ev.Time > at || ev.Flags&event.FlagPassive != 0 {
				continue
			}
			receipts = append(receipts, cmp.Or(ev.Receipt, ev.Time))
			recent = recent || at < ev.Time+m.b.Spec.WindowMS
		}
		if recent && slices.Max(receipts)-slices.Min(receipts) >= m.b.Spec.MinSpanMS {
			return true
		}
	}
	return false
}

func compareVerdicts(t *testing.T, seed uint64, got tables, m *model) {
	t.Helper()
	var good, duplicate, dead, read int
	for _, r := range got[rows.TableProgress] {
		if r["stage"] != rows.StageDevice {
			continue
		}
		for _, c := range []struct {
			name string
			sum  *int
		}{{"good", &good}, {"duplicate", &duplicate}, {"dead", &dead}, {"read", &read}} {
			n, err := strconv.Atoi(r[c.name])
			check(t, err)
			*c.sum += n
		}
	}
	if want := m.dead[event.Malformed] + m.dead[event.Late] + m.dead[event.Identity]; good != m.good || duplicate != m.duplicate || dead != want || read != good+duplicate+dead {
		t.Fatalf("seed %d: read %d, good %d, duplicate %d, dead %d; the model has good %d, duplicate %d, dead %d", seed, read, good, duplicate, dead, m.good, m.duplicate, want)
	}
	if n := len(got[rows.TableDeadLetters]); n != dead {
		t.Fatalf("seed %d: %d dead letters for %d dead events", seed, n, dead)
	}
}

func compareSessions(t *testing.T, seed uint64, got tables, m *model) {
	t.Helper()
	var want []string
	for d, es := range m.devices {
		for _, e := range append(slices.Clone(m.room.life(d).over), es...) {
			slices.SortFunc(e.events, func(a, b event.Event) int {
				return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
			})
			n := 0
			for k, ev := range e.events {
				n++
				if k+1 == len(e.events) || e.events[k+1].Time-ev.Time >= m.b.Spec.GapMS {
					want = append(want, fmt.Sprintf("%s/%d ends %d with %d events", d, e.number, ev.Time, n))
					n = 0
				}
			}
		}
	}
	var have []string
	for _, r := range got[rows.TableSessions] {
		if r["deleted"] == "0" {
			have = append(have, fmt.Sprintf("%s/%s ends %s with %s events", r["device"], r["epoch"], r["end"], r["events"]))
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(have, want) {
		t.Fatalf("seed %d: sessions\n%s\nthe model has\n%s", seed, strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

func comparePersons(t *testing.T, seed uint64, got tables, m *model, late bool) {
	t.Helper()
	want := m.users(t, got)
	for _, r := range got[rows.TableSegmentState] {
		if isUser(r) && r["path"] != want[r["person"]] {
			t.Fatalf("seed %d: %s stands in %s, the model says %s", seed, r["person"], r["path"], want[r["person"]])
		}
	}
	var all []string
	for _, d := range m.order {
		end := m.end(int(m.partition[d]) % m.b.Spec.Shards)
		if gone := m.last(m.devices[d]) + m.b.Spec.Retention; gone <= m.clock(m.partition[d]) {
			m.forget(d, gone)
		} else {
			m.until(d, end)
		}
		all = append(all, m.chains[d]...)
		if r := got[rows.TableSegmentState]["test|d:"+d]; r["path"] != pathOrNone(m.b.Segment.Tree, m.node[d]) {
			t.Fatalf("seed %d: d:%s stands in %q, the model says %q", seed, d, r["path"], pathOrNone(m.b.Segment.Tree, m.node[d]))
		}
	}
	slices.Sort(all)
	if have := chains(got); !late && !slices.Equal(have, all) {
		t.Fatalf("seed %d: moves\n%s\nthe model has\n%s", seed, strings.Join(have, "\n"), strings.Join(all, "\n"))
	}
}
