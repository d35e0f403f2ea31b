package transforms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
)

// rest ends a life in order: what is under way arrives, and snapshots are written.
func (p *process) rest() {
	p.t.Helper()
	p.local.Hurry()
	for {
		if err := p.drainOne(); err == io.EOF {
			break
		} else {
			check(p.t, err)
		}
	}
	check(p.t, p.snapshot())
	for machine, log := range p.journal.logs {
		if p.journal.manifest == nil || p.journal.manifest[machine].from != len(log) {
			p.t.Fatalf("machine %d has something behind its last snapshot", machine)
		}
	}
}

// counted compares what the audience has in the end with the persons in the shards.
func (p *process) counted(seed uint64) {
	p.t.Helper()
	n := p.local.built.Segment.Tree.Len()
	told, is := make([]int32, n), make([]int32, n)
	for _, s := range p.local.audience.state.Shards {
		last := s.Members
		if k := len(s.Pending); k > 0 {
			last = s.Pending[k-1].Members
		}
		for i, c := range last {
			told[i] += c
		}
	}
	add := func(s *segment.Shard) {
		for i, c := range s.Counted() {
			is[i] += c
		}
	}
	untold := 0
	for i := range p.local.devices {
		add(p.local.devices[i].state.persons)
		add(p.local.persons[i].state.persons)
		untold += len(p.local.devices[i].state.persons.ToCount()) + len(p.local.persons[i].state.persons.ToCount())
	}
	if untold == 0 && !slices.Equal(told, is) {
		p.t.Errorf("seed %d: the audience has %v, and the shards hold %v", seed, told, is)
	}
}

// regroup makes the journal that of a job of another number of shards.
func regroup(t *testing.T, spec *Spec, j *memJournal, shards int) *Spec {
	t.Helper()
	next := *spec
	next.Shards, next.Job = shards, fmt.Sprintf("%s-%d", spec.Job, shards)
	b, err := next.buildOnce()
	check(t, err)
	to, err := Regroup(j.recovered(), spec.Grouping(), b)
	check(t, err)
	*j = memJournal{logs: make([][][]byte, 2*shards+1)}
	for _, r := range to {
		j.manifest = append(j.manifest, memSnapshot{state: r.Snapshot})
	}
	return &next
}

// TestRegroupedAtAnyMoment: a job with another number of shards than before made
// its states anew from the log, which may hold no more than a week of the month
// that they remember. Now it deals them out: jobs that are killed between any two
// things that they do, and go on with more shards or fewer, again and again, end as
// one that nobody disturbs.
func TestRegroupedAtAnyMoment(t *testing.T) {
	t.Parallel()
	regrouped := 0
	for seed := range seeds(schedules / 2) {
		r := rand.New(rand.NewPCG(seed, 13))
		first := testSpec(t, fmt.Sprint("regrouped-", seed), 1+r.IntN(3), 4)
		limitRoom(&first, seed)
		l := roomLog(r, seed, first.Partitions, 60+r.IntN(100), true, false)
		l.deleteUsers(rand.New(rand.NewPCG(seed, 14)), 3)
		if seed%4 > 0 {
			l.trust(r, false)
		}
		l.level(r, first.Partitions)
		want := runPlain(t, &first, l, l.cut(t, &first, r))
		spec := &first
		j := &memJournal{logs: make([][][]byte, 2*spec.Shards+1)}
		s := newSeen(l)
		for life := 0; ; life++ {
			steps := 0
			if life < 12 {
				steps = 1 + r.IntN(150)
			}
			p := start(t, r, spec, l, j, s, steps)
			err := p.run()
			if err == nil && p.steps >= 0 {
				p.counted(seed)
				break
			}
			if err != nil && !errors.Is(err, errKilled) {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			if r.IntN(3) > 0 {
				continue
			}
			// Whoever takes over has other shards: first as it was, until all is applied
			// again, and a little more.
			p = start(t, r, spec, l, j, s, 0)
			for more := 1 + r.IntN(60); more > 0 || !p.local.IsCaughtUp(); more-- {
				if _, err := p.advance(); err != nil && err != io.EOF {
					t.Fatalf("seed %d, life %d: %v", seed, life, err)
				}
			}
			p.rest()
			spec = regroup(t, spec, j, 1+r.IntN(4))
			s.era++
			regrouped++
		}
		compareRegrouped(t, seed, &first, l, want, s.out)
	}
	if regrouped == 0 && !chosen() {
		t.Error("nothing was tried")
	}
	t.Logf("%d times in other shards", regrouped)
}

// level ends all partitions at the same event time: how far a shard's time is in
// the end would depend on which partitions it has.
func (l *testLog) level(r *rand.Rand, parts int32) {
	last := ""
	for _, rec := range l.arrival {
		for _, m := range stated.FindAllString(string(rec.Value), -1) {
			last = max(last, m)
		}
	}
	at, err := time.Parse(time.RFC3339, last)
	if err != nil {
		panic(err)
	}
	for p := range parts { // received, since a device alone takes no others with it
		line := visit(r, firstOf(p, parts), "", 10_000+int(p), at.Add(time.Minute))
		l.add(p, fmt.Sprintf(`{"receivedAt":"%s",%s`, at.Add(time.Minute).UTC().Format("2006-01-02T15:04:05.000Z"), line[1:]))
	}
}

// firstOf is a device of a partition.
func firstOf(partition, parts int32) string {
	for i := 0; ; i++ {
		if device := fmt.Sprint("end", i); event.Partition(device, parts) == partition {
			return device
		}
	}
}

var stated = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)

func compareRegrouped(t *testing.T, seed uint64, spec *Spec, l *testLog, want, got tables) {
	t.Helper()
	want.erase(t, l.tombstones(t, spec))
	got.erase(t, l.tombstones(t, spec))
	for _, ts := range []tables{want, got} {
		ts.eraseOpen(t, l)
		ts.eraseClosed(t, l)
	}
	anonymous := func(row map[string]string) bool { return !isUser(row) }
	measured := []string{"version", "evaluated_at", "next_evaluation", "live", "long", "intent", "signal_weight"}
	same(t, seed, "sessions", want.list(rows.TableSessions, nil, "version"), got.list(rows.TableSessions, nil, "version"))
	same(t, seed, "moves", untimed(chains(want)), untimed(chains(got)))
	here := func(row map[string]string) bool { return anonymous(row) && row["deleted"] != "1" }
	gone := func(row map[string]string) bool { return anonymous(row) && row["deleted"] == "1" }
	same(t, seed, "persons", want.list(rows.TableSegmentState, here, measured...), got.list(rows.TableSegmentState, here, measured...))
	same(t, seed, "persons that are gone", want.list(rows.TableSegmentState, gone, append(measured, "since")...), got.list(rows.TableSegmentState, gone, append(measured, "since")...))
	measured = append(measured, "transitions", "since")
	same(t, seed, "users", want.list(rows.TableSegmentState, isUser, measured...), got.list(rows.TableSegmentState, isUser, measured...))
	same(t, seed, "dead letters", want.list(rows.TableDeadLetters, nil, "version"), got.list(rows.TableDeadLetters, nil, "version"))
	same(t, seed, "published records", want.list(tablePublished, nil, "since", "at"), got.list(tablePublished, nil, "since", "at"))
	same(t, seed, "progress", want.list(rows.TableProgress, nil, "version", "shard", "clock", "watermark"), got.list(rows.TableProgress, nil, "version", "shard", "clock", "watermark"))
}

// eraseClosed drops a user's sessions on a device from before the user was deleted from it, as who
// deletes does: whether one of them had been closed by then, and so has a row, is a matter of the
// shard's time.
func (ts tables) eraseClosed(t testing.TB, l *testLog) {
	t.Helper()
	last := map[[2]string]int64{}
	for _, rec := range l.arrival {
		var e struct{ Type, AnonymousID, UserID string }
		if json.Unmarshal(rec.Value, &e) == nil && e.Type == event.TypeDeleteUser {
			last[[2]string{e.AnonymousID, "u:" + e.UserID}] = rec.Offset
		}
	}
	for key, row := range ts[rows.TableSessions] {
		version, err := strconv.ParseInt(row["version"], 10, 64)
		check(t, err)
		if at, ok := last[[2]string{row["device"], row["person"]}]; ok && version>>13 < at {
			delete(ts[rows.TableSessions], key)
		}
	}
}

// untimed leaves out when a link took a device from its segment. A claim that is sent again after
// its device was deleted is older than what the device did since, so the device leaves when it was
// evaluated last; and which of its wake-ups had their turn before depends on the shard's time.
func untimed(moves []string) (out []string) {
	for _, m := range moves {
		out = append(out, leftByLink.ReplaceAllString(m, "-> (link)"))
	}
	return out
}

var leftByLink = regexp.MustCompile(`->  at \d+ \(link\)$`)

// TestRegroupsNothingThatIsUnderWay: vectors that had been sent and not applied
// would be lost.
func TestRegroupsNothingThatIsUnderWay(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 14))
	spec := testSpec(t, "under-way", 2, 4)
	l := randomLog(r, spec.Partitions, 80, true, false)
	j := &memJournal{logs: make([][][]byte, 2*spec.Shards+1)}
	p := start(t, r, &spec, l, j, newSeen(l), 0)
	for range 20 {
		if b := p.batch(p.sources[0]); b != nil {
			e, err := eventsFor(0, b)
			check(t, err)
			err = p.local.device(context.Background(), e, p.outputs(0, 0))
			check(t, err)
		}
	}
	from := make([]Recovered, 2*spec.Shards+1)
	from[0].Snapshot = snapshotOf(p.local.devices[0].state)
	if _, err := Regroup(from, spec.Grouping(), p.local.built); !errors.Is(err, ErrNotAtRest) {
		t.Errorf("%v", err)
	}
}
