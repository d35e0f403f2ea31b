package transforms

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/transforms/wire"
)

var errKilled = errors.New("killed")

// memJournal is what outlives the processes of a test: the journal and the last
// complete set of snapshots.
type memJournal struct {
	logs     [][][]byte // by machine
	manifest []memSnapshot
}

// memSnapshot is a machine's snapshot, and where its journal goes on.
type memSnapshot struct {
	state []byte
	from  int
}

func (j *memJournal) recovered() (out []Recovered) {
	for i, log := range j.logs {
		r := Recovered{}
		from := 0
		if j.manifest != nil {
			r.Snapshot, from = j.manifest[i].state, j.manifest[i].from
		}
		r.Entries = log[from:]
		if ReadsPieces(i, len(j.logs)) && r.Snapshot != nil {
			r.Open, r.Snapshot = inPieces(r.Snapshot), nil
		}
		out = append(out, r)
	}
	return out
}

// inPieces brings bytes in pieces of which few hold a whole device.
func inPieces(b []byte) func() (func() ([]byte, error), func()) {
	return func() (func() ([]byte, error), func()) {
		rest := b
		return func() ([]byte, error) {
			piece := rest[:min(61, len(rest))]
			rest = rest[len(piece):]
			return piece, nil
		}, func() {}
	}
}

// process is one life of a job: its stages, and the elements that are on their
// way in its runner. It dies at a random step, with everything that the journal
// does not have yet.
type process struct {
	t       *testing.T
	r       *rand.Rand
	spec    *Spec
	log     *testLog
	journal *memJournal
	seen    *seen
	local   *Local
	decoder *BatchDecoder
	sources []*testSource
	vectors map[[2]int][][]byte // (device shard, person shard) → in order
	counts  map[int][][]byte    // by reporter
	pending [][][]byte          // appended and not yet sure, by machine
	steps   int                 // until it dies; never reaches 0 in the last life
	round   []memSnapshot
}

// testSource cuts the records of a shard.
type testSource struct {
	shard   int
	next    int64
	offsets map[int32]int64
	script  []identity.RawBatch
	records []identity.Record // in the order of their arrival, what is not yet read
	idle    int               // batches without records at the end
}

// seen is what anybody could see, in any life, and whether it was ever decided
// in two ways.
type seen struct {
	out    tables
	first  map[string]string
	told   map[string]*reader
	clock  int64           // wall clock, µs
	redone int             // decisions that were seen more than once
	era    int             // groupings so far: each numbers its batches anew
	back   map[string]bool // persons of whom one move may be told twice
}

func newSeen(l *testLog) *seen {
	return &seen{out: tables{}, first: map[string]string{}, told: map[string]*reader{}, back: l.back()}
}

// back are the persons of devices that were deleted and then sent once more what they
// had sent before. Such a one may do at the same millisecond what it did then: another
// move, with a key that the deletion has taken from the first one.
func (l *testLog) back() map[string]bool {
	sent, gone, out := map[string][]string{}, map[string][]string{}, map[string]bool{}
	for _, r := range l.arrival {
		var e struct{ Type, AnonymousID string }
		if json.Unmarshal(r.Value, &e) != nil {
			continue
		}
		if e.Type == event.TypeDelete {
			gone[e.AnonymousID] = append(gone[e.AnonymousID], sent[e.AnonymousID]...)
		}
		if slices.Contains(gone[e.AnonymousID], string(r.Value)) {
			out[session.PersonID(e.AnonymousID, "")] = true
		}
		sent[e.AnonymousID] = append(sent[e.AnonymousID], string(r.Value))
	}
	return out
}

// reader follows a key of the topic of segments, the newest record of it.
type reader struct {
	stamp segment.Stamp
	holds bool
	now   string          // the last record that it held
	past  map[string]bool // those before
}

// follow fails where a reader is told of the past: a device that had logged out
// was shown as its user's again, because the next process published once more
// what had been published before the reader was told to forget.
func (s *seen) follow(t *testing.T, key string, r *segment.Record) {
	t.Helper()
	k := s.told[key]
	if k == nil {
		k = &reader{past: map[string]bool{}}
		s.told[key] = k
	}
	if r == nil {
		k.holds = false
		return
	}
	stamp := segment.Stamp{Evaluated: r.Evaluated, Version: r.Version}
	if k.holds && stamp.Before(k.stamp) {
		return
	}
	k.holds, k.stamp = true, stamp
	if id := fmt.Sprint(stamp, r.Path, r.User, r.Since); id != k.now {
		if k.past[id] {
			t.Fatalf("%s was told of its past: %s, after %s", key, id, k.now)
		}
		k.past[k.now], k.now = true, id
	}
}

func (s *seen) once(t *testing.T, what, content string) {
	if old, ok := s.first[what]; !ok {
		s.first[what] = content
	} else if s.redone++; old != content {
		t.Fatalf("%s was decided again, and otherwise:\n\t%s\n\t%s", what, old, content)
	}
}

func (s *seen) add(t *testing.T, b rows.Batch) {
	one := tables{}
	one.add(t, b)
	for key, row := range one[rows.TableSegmentEvents] {
		s.once(t, "the move "+key, strings.Join(tables{"x": {"": row}}.list("x", nil, "decided_at", "version"), ""))
		if !s.back[row["person"]] {
			s.once(t, "the version of the move "+key, row["version"])
		}
	}
	s.out.add(t, b)
}

func (s *seen) publish(t *testing.T, batch []byte) {
	check(t, segment.EachKeyed(batch, func(key, value []byte) {
		var r segment.Record
		if len(value) == 0 {
			s.follow(t, string(key), nil)
			return
		}
		check(t, r.Read(value))
		s.follow(t, string(key), &r)
		s.once(t, fmt.Sprintf("the record of %s (pointer to %q) at %d in %d", key, r.User, r.Evaluated, r.Version), fmt.Sprint(r.Path, r.User, r.Since, r.Last, r.Values))
	}))
	s.out.publish(t, batch)
}

// start begins a life.
func start(t *testing.T, r *rand.Rand, spec *Spec, l *testLog, j *memJournal, s *seen, steps int) *process {
	t.Helper()
	b, err := spec.buildOnce()
	check(t, err)
	p := &process{t: t, r: r, spec: spec, log: l, journal: j, seen: s, vectors: map[[2]int][][]byte{}, counts: map[int][][]byte{},
		pending: make([][][]byte, 2*spec.Shards+1), steps: steps, round: make([]memSnapshot, 2*spec.Shards+1)}
	p.decoder, err = NewBatchDecoder(spec)
	check(t, err)
	p.local, err = NewLocal(b, l, p, j.recovered())
	check(t, err)
	p.local.pause = func(context.Context) error { return p.drainOne() }
	p.local.atOnce = 1 + r.IntN(3)
	p.local.pace = func(context.Context, time.Duration) error { // a snapshot is written while batches are applied
		for p.r.IntN(3) == 0 {
			if _, err := p.advance(); err != nil && err != io.EOF {
				return err
			}
		}
		return nil
	}
	for i := range spec.Shards {
		offsets, next, script := p.local.Resume(i)
		src := &testSource{shard: i, next: next, offsets: offsets, script: script}
		src.rest(l, spec)
		p.sources = append(p.sources, src)
	}
	return p
}

// rest finds the records that the source has not read.
func (s *testSource) rest(l *testLog, spec *Spec) {
	s.records = s.records[:0]
	for _, rec := range l.arrival {
		if int(rec.Partition)%spec.Shards == s.shard && rec.Offset >= s.offsets[rec.Partition] {
			s.records = append(s.records, rec)
		}
	}
}

// step counts down; false once the process is dead.
func (p *process) step() bool {
	if p.steps > 0 {
		if p.steps--; p.steps == 0 {
			p.steps = -1
		}
	}
	return p.steps >= 0
}

// Append implements Journal. An entry that was sent may arrive although the
// process has died.
func (p *process) Append(machine int, entry []byte) func(context.Context) error {
	if p.steps < 0 {
		return func(context.Context) error { return errKilled }
	}
	p.pending[machine] = append(p.pending[machine], slices.Clone(entry))
	n := len(p.journal.logs[machine]) + len(p.pending[machine])
	return func(context.Context) error {
		alive := p.step()
		if alive || p.r.IntN(2) == 0 {
			p.arrive(machine, n)
		}
		if !alive {
			return errKilled
		}
		return nil
	}
}

// arrive makes the machine's journal n entries long.
func (p *process) arrive(machine, n int) {
	for len(p.journal.logs[machine]) < n {
		p.journal.logs[machine] = append(p.journal.logs[machine], p.pending[machine][0])
		p.pending[machine] = p.pending[machine][1:]
	}
}

// Begin implements Archive.
func (p *process) Begin(_ context.Context, machine int) io.WriteCloser {
	p.round[machine] = memSnapshot{state: []byte{}, from: len(p.journal.logs[machine]) + len(p.pending[machine])}
	return &memWriter{p, machine}
}

type memWriter struct {
	p       *process
	machine int
}

func (w *memWriter) Write(b []byte) (int, error) {
	w.p.round[w.machine].state = append(w.p.round[w.machine].state, b...)
	return len(b), nil
}

func (w *memWriter) Close() error {
	if !w.p.step() {
		return errKilled
	}
	return nil
}

func (p *process) outputs(from int, reporter int) Outputs {
	return Outputs{
		Rows: func(b rows.Batch) {
			if p.step() {
				p.seen.add(p.t, b)
			}
		},
		Records: func(b []byte) {
			if p.step() {
				p.seen.publish(p.t, b)
			}
		},
		Counts: func(_ int, c []byte) { p.counts[reporter] = append(p.counts[reporter], slices.Clone(c)) },
		Vectors: func(to int, b []byte) {
			h, err := wire.ReadHeader(b)
			check(p.t, err)
			h.Again = false
			content := fmt.Sprintf("%+v", h)
			_, err = wire.ReadVectors(b, func(v *wire.Vector) {
				c := *v
				c.Profile = nil
				content += fmt.Sprintf("\n\t\t%+v", c)
			})
			check(p.t, err)
			p.seen.once(p.t, fmt.Sprintf("batch %d from device shard %d to person shard %d of grouping %d", h.Seq, from, to, p.seen.era), content)
			k := [2]int{from, to}
			p.vectors[k] = append(p.vectors[k], slices.Clone(b))
		},
	}
}

// batch is the source's next batch, nil at the end.
func (p *process) batch(s *testSource) []byte {
	var raw identity.RawBatch
	p.seen.clock += 100
	switch {
	case len(s.script) > 0:
		raw, s.script = s.script[0], s.script[1:]
		var records []identity.Record
		for _, g := range raw.Ranges {
			if g.Last >= g.First {
				records = append(records, p.log.parts[g.Partition][g.First:g.Last+1]...)
			}
			s.offsets[g.Partition] = max(s.offsets[g.Partition], g.Last+1)
		}
		raw.Chunks = [][]identity.Record{records}
		s.rest(p.log, p.spec)
	case len(s.records) > 0:
		n := min(cmp.Or(p.log.step, 1+p.r.IntN(9)), len(s.records))
		raw = s.cut(p, s.records[:n], 0)
		s.records = s.records[n:]
		if p.r.IntN(3) == 0 {
			raw.Due = p.seen.clock - p.r.Int64N(500)
		}
	case s.idle < 3 && p.read() && s.idle == p.rounds(): // what is under way between the shards must have its rows, too
		s.idle++
		raw = s.cut(p, nil, quietFor)
		raw.Due = raw.Emitted
	default:
		return nil
	}
	s.next = raw.ID + 1
	return sent(p.t, p.decoder, &raw)
}

func (s *testSource) cut(p *process, records []identity.Record, idle int64) identity.RawBatch {
	raw := identity.RawBatch{Shard: s.shard, ID: s.next, Emitted: p.seen.clock, Chunks: [][]identity.Record{records}}
	for q := range p.spec.Partitions {
		if int(q)%p.spec.Shards != s.shard {
			continue
		}
		g := identity.Range{Partition: q, Prev: s.offsets[q] - 1, First: s.offsets[q], Last: s.offsets[q] - 1, Idle: idle}
		for _, rec := range records {
			if rec.Partition == q {
				g.Last = rec.Offset
			}
		}
		s.offsets[q] = g.Last + 1
		raw.Ranges = append(raw.Ranges, g)
	}
	return raw
}

// drainOne lets one element that is under way arrive.
func (p *process) drainOne() error {
	if p.steps < 0 {
		return errKilled
	}
	var keys [][2]int
	for k, q := range p.vectors {
		if len(q) > 0 {
			keys = append(keys, k)
		}
	}
	for k, q := range p.counts {
		if len(q) > 0 {
			keys = append(keys, [2]int{-1, k})
		}
	}
	if len(keys) == 0 {
		return io.EOF
	}
	slices.SortFunc(keys, func(a, b [2]int) int { return 10*(a[0]-b[0]) + a[1] - b[1] })
	k := keys[p.r.IntN(len(keys))]
	if k[0] < 0 {
		return p.take(k[1])
	}
	i := p.r.IntN(min(2, len(p.vectors[k]))) // one may overtake another
	b := p.vectors[k][i]
	if p.r.IntN(10) > 0 { // else the runner gives it again
		p.vectors[k] = slices.Delete(p.vectors[k], i, i+1)
	}
	e, _, err := vectorsFor(k[1], b)
	check(p.t, err)
	return p.local.person(context.Background(), e, p.outputs(0, p.spec.userReporter(k[1])))
}

// take lets what a reporter told arrive.
func (p *process) take(reporter int) error {
	i := p.r.IntN(min(2, len(p.counts[reporter])))
	b := p.counts[reporter][i]
	p.counts[reporter] = slices.Delete(p.counts[reporter], i, i+1)
	e, err := countsFor(b)
	check(p.t, err)
	return p.local.counts(context.Background(), e, Outputs{Rows: p.outputs(0, 0).Rows, Records: func(b []byte) {
		check(p.t, segment.EachKeyed(b, func(_, value []byte) {
			var a segment.Active
			check(p.t, a.Read(value))
			if p.step() {
				p.seen.once(p.t, fmt.Sprint("what is served at minute ", a.Minute), fmt.Sprint(a.Version, a.Paths))
			}
		}))
	}})
}

// run lives until it dies or everything is done.
func (p *process) run() error {
	for {
		if p.r.IntN(40) == 0 {
			if err := p.snapshot(); err != nil {
				return err
			}
		}
		more, err := p.advance()
		if err != nil && err != io.EOF {
			return err
		}
		if more {
			continue
		}
		if done, err := p.done(); done || err != nil {
			return err
		}
	}
}

// advance does one of the things that the runner can do next; false means that a
// source had nothing.
func (p *process) advance() (bool, error) {
	if p.r.IntN(2) == 0 {
		return true, p.drainOne()
	}
	s := p.sources[p.r.IntN(len(p.sources))]
	b := p.batch(s)
	if b == nil {
		return false, nil
	}
	for n := 1 + p.r.IntN(8)/7; n > 0; n-- { // now and then twice
		e, err := eventsFor(s.shard, b)
		check(p.t, err)
		if err := p.local.device(context.Background(), e, p.outputs(s.shard, s.shard)); err != nil {
			return true, err
		}
	}
	return true, nil
}

// read reports whether all records are read and nothing is under way.
func (p *process) read() bool {
	for _, s := range p.sources {
		if len(s.records) > 0 || len(s.script) > 0 {
			return false
		}
	}
	for _, q := range p.vectors {
		if len(q) > 0 {
			return false
		}
	}
	return true
}

// rounds is how often all sources have said that nothing comes: vectors wait for all.
func (p *process) rounds() int {
	n := p.sources[0].idle
	for _, s := range p.sources {
		n = min(n, s.idle)
	}
	return n
}

// done drains a life that has read everything.
func (p *process) done() (bool, error) {
	for _, s := range p.sources {
		if len(s.records) > 0 || len(s.script) > 0 || s.idle < 3 {
			return false, nil
		}
	}
	for {
		if err := p.drainOne(); err == io.EOF {
			return true, nil
		} else if err != nil {
			return false, err
		}
	}
}

func (p *process) snapshot() error {
	_, err := p.local.Snapshot(context.Background(), p)
	if errors.Is(err, io.EOF) {
		return nil // it still waits for the source, after a restart
	}
	if err == nil && p.step() {
		for machine := range p.pending { // an entry that a snapshot does not have is behind it
			p.arrive(machine, len(p.journal.logs[machine])+len(p.pending[machine]))
		}
		p.journal.manifest = slices.Clone(p.round)
	}
	return err
}

// TestKilledAtAnyMoment: a job is killed between any two things that it does,
// again and again, with whatever is on its way; the next process goes on from
// the journal and the last complete snapshots. No move and no record that
// anybody could have seen is ever decided otherwise, and in the end everything is
// as in a job that nobody disturbs. Stages panic about some records on top, always
// about the same ones: the job goes on without them, as if nobody could have read them.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	tried := map[string]int{}
	for seed := range seeds(schedules, 81, 87, 98, 105, 117, 382) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { killedAtAnyMoment(t, seed, tried) })
	}
	for _, what := range []string{"kills", "logs with snapshots", "decisions seen again", "panics", "let go with a limit of 50"} {
		if tried[what] == 0 && !chosen() {
			t.Errorf("no %s: nothing was tried", what)
		}
	}
	t.Log(tried)
}

func killedAtAnyMoment(t *testing.T, seed uint64, tried map[string]int) {
	r := rand.New(rand.NewPCG(seed, 9))
	spec := testSpec(t, fmt.Sprint("killed-", seed), 1+r.IntN(2), 3)
	defer forgetBuilt(spec.Job)
	limitRoom(&spec, seed)
	l := roomLog(r, seed, spec.Partitions, 60+r.IntN(100), true, false)
	if seed%5 > 0 {
		l.trust(r, false)
	}
	if seed%7 < 3 {
		l.deleteUsers(rand.New(rand.NewPCG(seed, 14)), 2)
	}
	if seed%3 == 0 { // a replay among all that
		letters, devices := l.breakSome(t, r, &spec)
		l.rebuild(t, r, &spec, letters, devices, nil)
	}
	clean := l
	var poison *poison
	if seed%2 == 1 {
		clean, poison = choosePoison(t, r, &spec, l)
	}
	want := runPlain(t, &spec, clean, clean.cut(t, &spec, r))
	poison.inject(t, &spec)
	if spec.MaxState == namedLimit {
		tried["let go with a limit of 50"] += want.evicted()
	}
	j := &memJournal{logs: make([][][]byte, 2*spec.Shards+1)}
	s := newSeen(l)
	for life := 0; ; life++ {
		steps := 0
		if life < 12 {
			steps = 1 + r.IntN(150)
		}
		p := start(t, r, &spec, l, j, s, steps)
		err := p.run()
		if err == nil && p.steps >= 0 {
			break
		}
		if p := poisoned(err); p != nil && p.Decided && life < 100 {
			tried["panics"]++
			continue
		}
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatalf("life %d: %v", life, err)
		}
		tried["kills"]++
	}
	if j.manifest != nil {
		tried["logs with snapshots"]++
	}
	tried["decisions seen again"] += s.redone
	poison.check(t, seed, want, s.out)
	compareLives(t, seed, &spec, l, want, s.out)
}

// schedules is how many random logs and lives TestKilledAtAnyMoment tries.
const schedules = 80

func compareLives(t *testing.T, seed uint64, spec *Spec, l *testLog, want, got tables) {
	t.Helper()
	want.erase(t, l.tombstones(t, spec))
	got.erase(t, l.tombstones(t, spec))
	want.eraseOpen(t, l)
	got.eraseOpen(t, l)
	anonymous := func(row map[string]string) bool { return !isUser(row) }
	measured := []string{"version", "evaluated_at", "next_evaluation", "live", "long", "intent", "signal_weight"}
	same(t, seed, "sessions", want.list(rows.TableSessions, nil, "version"), got.list(rows.TableSessions, nil, "version"))
	same(t, seed, "moves", chains(want), chains(got))
	same(t, seed, "persons", want.list(rows.TableSegmentState, anonymous, measured...), got.list(rows.TableSegmentState, anonymous, measured...))
	measured = append(measured, "transitions", "since")
	same(t, seed, "users", want.list(rows.TableSegmentState, isUser, measured...), got.list(rows.TableSegmentState, isUser, measured...))
	same(t, seed, "dead letters", want.list(rows.TableDeadLetters, nil, "version"), got.list(rows.TableDeadLetters, nil, "version"))
	same(t, seed, "published records", want.list(tablePublished, nil, "since", "at"), got.list(tablePublished, nil, "since", "at"))
	same(t, seed, "progress", want.list(rows.TableProgress, nil, "version"), got.list(rows.TableProgress, nil, "version"))
}
