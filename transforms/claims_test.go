package transforms

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/testing/oracle"
)

// replay folds a log by the naive model in which claims are simple: each record of a
// device and a user is verified if any of them is, before it or behind it. An unlink
// and a deletion take back what was proven before. What is from before trusts, or was
// not checked, is no proof any more once the time for that is over.
func replay(t *testing.T, b *Built, l *testLog, n int) *model {
	t.Helper()
	d, err := event.NewDecoder(b.Spec.Event)
	check(t, err)
	first, m := newModel(b), newModel(b)
	first.older, m.older = l.before, l.before
	for _, rec := range l.arrival[:n] {
		first.take(t, d, rec)
	}
	m.verified = map[identity.Place]bool{}
	old := map[int32]int64{}
	moved := map[int32]bool{} // since the time was stated
	for i, rec := range l.arrival[:n] {
		if i < l.before {
			old[rec.Partition] = rec.Offset + 1
		} else {
			moved[rec.Partition] = true
		}
	}
	type pair struct{ device, user string }
	open, proven := map[pair][]identity.Place{}, map[pair]bool{}
	end := func(p pair) {
		for _, at := range open[p] {
			m.verified[at] = proven[p]
		}
		delete(open, p)
		delete(proven, p)
	}
	for i := range first.accepted {
		e := &first.accepted[i]
		p := pair{e.Device, e.User}
		switch e.Kind {
		case event.KindReset:
		case event.KindUnlink, event.KindDeleteUser:
			end(p)
		case event.KindDisclaim:
			if !proven[p] {
				end(p)
			}
		case event.KindDelete:
			for o := range open {
				if o.device == e.Device {
					end(o)
				}
			}
		default:
			open[p] = append(open[p], placeOf(e))
			unproven := e.Trust == event.Unchecked || e.Offset < old[e.Partition]
			over := l.until > 0 && moved[e.Partition] && first.clock(e.Partition) >= l.until
			proven[p] = proven[p] || e.Trust.Verified() && !(unproven && over)
		}
	}
	for p := range open {
		end(p)
	}
	for _, rec := range l.arrival[:n] {
		m.take(t, d, rec)
	}
	return m
}

// prefix is the log up to where it holds n records.
func (l *testLog) prefix(n int) *testLog {
	p := &testLog{parts: map[int32][]identity.Record{}, arrival: l.arrival[:n], step: l.step, before: min(l.before, n), until: l.until}
	for _, r := range p.arrival {
		p.parts[r.Partition] = append(p.parts[r.Partition], r)
	}
	return p
}

// TestClaims: whoever has the public key can say whom a device belongs to. That
// shows nobody anything, until a record with a proof says the same: then all is as if
// the proof had always been there. After each record of any sequence of claims and
// proofs, log-outs, unlinks and deletions, late events and ones that come twice, over
// some devices and shards, with restarts in between, persons, sums, sessions,
// memberships and what is served are those of a replay in which each record is
// verified if any one of its device and user so far is.
func TestClaims(t *testing.T) {
	t.Parallel()
	tried := map[string]int{}
	for seed := range seeds(70) {
		r := rand.New(rand.NewPCG(seed, 20))
		parts, shards := int32(3), 1+r.IntN(2)
		l := linkLog(r, parts, 8+r.IntN(20))
		l.trust(r, true)
		for i := range l.arrival { // now and then a user was deleted
			if rec := &l.arrival[i]; r.IntN(4) == 0 {
				rec.Value = bytes.Replace(rec.Value, []byte(event.TypeUnlink), []byte(event.TypeDisclaim), 1)
				l.parts[rec.Partition][rec.Offset] = *rec
			}
		}
		l.deleteUsers(r, 5)
		spec := testSpec(t, fmt.Sprint("claims-", shards), shards, parts)
		spec.MaxUsers = 0 // counts from the proof on
		for n := 1; n <= len(l.arrival); n++ {
			p := l.prefix(n)
			b, err := spec.buildOnce()
			check(t, err)
			open := memberships{}
			got := runAgain(t, &spec, p, p.cut(t, &spec, r), r, func(b rows.Batch) { open.take(t, seed, b) })
			m := replay(t, b, l, n)
			what := seed*1000 + uint64(n)
			got.erase(t, p.tombstones(t, &spec))
			got.eraseEpochs(t, m.gone)
			compareModel(t, what, got, m)
			compareNames(t, what, got, m)
			open.compare(t, what, got)
			if n == len(l.arrival) {
				for _, row := range got[rows.TableSegmentEvents] {
					tried[row["cause"]]++
				}
			}
		}
		b, err := spec.buildOnce()
		check(t, err)
		s := b.board.sum()
		tried["claims"], tried["proven"] = max(tried["claims"], int(s.Claims)), max(tried["proven"], int(s.Proven))
	}
	for _, what := range []string{"link", "unlink", "erased", "claims", "proven"} {
		if tried[what] < 10 && !chosen() {
			t.Errorf("%d times %s: the sequences prove little", tried[what], what)
		}
	}
}

// TestOracleJudgesClaims: the oracle, by which runs with faults are judged, comes to the
// same verdicts, persons, sessions and served users on logs with claims as the stages.
func TestOracleJudgesClaims(t *testing.T) {
	t.Parallel()
	linked := 0
	for seed := range seeds(150) {
		r := rand.New(rand.NewPCG(seed, 23))
		shards := 1 + r.IntN(2)
		spec := testSpec(t, fmt.Sprint("judged-", shards), shards, 3)
		spec.MaxUsers = 0
		drawn, l := linkLog(r, spec.Partitions, 20+r.IntN(40)), &testLog{}
		drawn.trust(r, true)
		drawn.deleteUsers(r, 2)
		for p := range spec.Partitions { // a partition has a time from the start
			l.add(p, visit(r, firstOf(p, spec.Partitions), "", 10_000+int(p), time.Date(2026, 3, 1, 9, 59, 0, 0, time.UTC)))
		}
		for _, rec := range drawn.arrival {
			// Of deletions the oracle knows nothing.
			l.put(rec.Partition, strings.Replace(string(rec.Value), event.TypeDelete, "reset", 1), rec.Trust)
		}
		got := runPlain(t, &spec, l, l.cut(t, &spec, r))
		b, err := spec.buildOnce()
		check(t, err)
		got.eraseEpochs(t, replay(t, b, l, len(l.arrival)).gone)
		o, err := oracle.New(config.Default())
		check(t, err)
		for _, rec := range l.arrival {
			check(t, o.Take(&oracle.Record{Partition: rec.Partition, Offset: rec.Offset, Value: rec.Value, Trust: rec.Trust}))
		}
		want := o.Result()
		var persons []string
		for _, row := range got[rows.TableSegmentState] {
			if row["deleted"] == "0" {
				persons = append(persons, row["person"])
			}
		}
		slices.Sort(persons)
		if !slices.Equal(persons, want.Persons()) {
			t.Fatalf("seed %d: persons %v, the oracle has %v", seed, persons, want.Persons())
		}
		sessions := 0
		for _, row := range got[rows.TableSessions] {
			if row["deleted"] == "0" {
				sessions++
			}
		}
		if sessions != len(want.Sessions) || len(got[rows.TableDeadLetters]) != want.Dead {
			t.Fatalf("seed %d: %d sessions, %d dead letters; the oracle has %d and %d", seed, sessions, len(got[rows.TableDeadLetters]), len(want.Sessions), want.Dead)
		}
		for _, d := range want.Devices() {
			if u := got[tablePublished]["d:"+d]["user"]; u != want.User(d) {
				t.Fatalf("seed %d: %s is served as %q's, the oracle says %q's", seed, d, u, want.User(d))
			} else if u != "" {
				linked++
			}
		}
	}
	if linked < 50 && !chosen() {
		t.Errorf("%d devices are users': the sequences prove little", linked)
	}
}

// TestLegacyLinks: links from before trusts, and those that nobody has checked, are
// believed until a time that the operator states, which comes with a batch. From then
// on they are claims, as if they had never been more: the users lose what was done on
// the devices, unless a proof came, or comes.
func TestLegacyLinks(t *testing.T) {
	t.Parallel()
	ended := 0
	for seed := range seeds(200) {
		r := rand.New(rand.NewPCG(seed, 21))
		parts, shards := int32(3), 1+r.IntN(2)
		l := linkLog(r, parts, 10+r.IntN(30))
		l.trust(r, true)
		l.before = r.IntN(len(l.arrival) * 2 / 3)
		for i := range l.arrival[:l.before] {
			rec := &l.arrival[i]
			rec.Trust = event.Unstated
			l.parts[rec.Partition][rec.Offset] = *rec
		}
		if l.until = l.endOf(r); r.IntN(4) == 0 {
			l.until = 0
		}
		spec := testSpec(t, fmt.Sprint("legacy-", shards), shards, parts)
		spec.MaxUsers = 0
		b, err := spec.buildOnce()
		check(t, err)
		open := memberships{}
		got := runAgain(t, &spec, l, l.cut(t, &spec, r), r, func(b rows.Batch) { open.take(t, seed, b) })
		m := replay(t, b, l, len(l.arrival))
		got.erase(t, l.tombstones(t, &spec))
		compareModel(t, seed, got, m)
		compareNames(t, seed, got, m)
		open.compare(t, seed, got)
		for _, es := range m.devices {
			if l.until > 0 && es[len(es)-1].claim != "" {
				ended++
			}
		}
	}
	if ended < 50 && !chosen() {
		t.Errorf("%d links ended: the sequences prove little", ended)
	}
}

// endOf is a time within that of the log.
func (l *testLog) endOf(r *rand.Rand) int64 {
	var times []int64
	for _, rec := range l.arrival {
		for _, m := range stated.FindAllString(string(rec.Value), -1) {
			if at, err := time.Parse(time.RFC3339, m); err == nil {
				times = append(times, at.UnixMilli())
			}
		}
	}
	if len(times) == 0 {
		return 0
	}
	return times[r.IntN(len(times))]
}

// TestLegacyUntilAtARestart: a job goes on with another legacy_until than before, and
// is killed between any two things that it does. What was decided is decided so again,
// and the end comes to the same as with that time from the beginning.
func TestLegacyUntilAtARestart(t *testing.T) {
	t.Parallel()
	for seed := range seeds(20) {
		r := rand.New(rand.NewPCG(seed, 22))
		spec := testSpec(t, fmt.Sprint("until-", seed), 1+r.IntN(2), 3)
		l := randomLog(r, spec.Partitions, 60+r.IntN(60), true, false)
		l.trust(r, false)
		end := l.endOf(r)
		same := spec
		same.Job, same.LegacyUntil = same.Job+"-same", end
		want := runPlain(t, &same, l, l.cut(t, &same, r))
		j := &memJournal{logs: make([][][]byte, 2*spec.Shards+1)}
		s := newSeen(l)
		for life := 0; ; life++ {
			steps := 0
			if life < 8 {
				steps = 1 + r.IntN(150)
			}
			if spec.LegacyUntil = end + int64(r.IntN(2))*1_800_000; life >= 8 {
				spec.LegacyUntil = end
			}
			p := start(t, r, &spec, l, j, s, steps)
			err := p.run()
			if err == nil && p.steps >= 0 {
				break
			}
			if err != nil && !errors.Is(err, errKilled) {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
		}
		compareEnds(t, seed, want, s.out)
	}
}

// compareEnds compares where everybody is; how they came there depends on when they
// were told.
func compareEnds(t *testing.T, seed uint64, want, got tables) {
	t.Helper()
	timing := []string{"version", "evaluated_at", "next_evaluation", "live", "long", "intent", "signal_weight", "transitions", "since"}
	here := func(row map[string]string) bool { return row["deleted"] == "0" }
	same(t, seed, "persons", want.list(rows.TableSegmentState, here, timing...), got.list(rows.TableSegmentState, here, timing...))
	same(t, seed, "published records", want.list(tablePublished, nil, "since", "at"), got.list(tablePublished, nil, "since", "at"))
}

// compareNames: the row of a session that is open names whose it is, and a claim apart.
func compareNames(t *testing.T, seed uint64, got tables, m *model) {
	t.Helper()
	for _, row := range got[rows.TableSessions] {
		es := m.devices[row["device"]]
		if row["open"] != "1" || row["deleted"] == "1" || len(es) == 0 {
			continue
		}
		for _, e := range es {
			want := "d:" + row["device"]
			if e.user != "" {
				want = "u:" + e.user
			}
			if fmt.Sprint(e.number) == row["epoch"] && e == es[len(es)-1] && (row["person"] != want || row["claimed_user"] != e.claim) {
				t.Fatalf("seed %d: %v, the model has %s, claimed %q", seed, row, want, e.claim)
			}
		}
	}
}

// TestStranger: whoever has the public key said to be ann, and emptied her cart, marked
// her as a crawler's, was served as she is, and made the shop's order a duplicate by
// sending its messageId first. All that is the stranger's own now.
func TestStranger(t *testing.T) {
	t.Parallel()
	spec := testSpec(t, "stranger", 2, 3)
	l := &testLog{}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	send := func(trust event.Trust, device, typ, more string) {
		at = at.Add(time.Second)
		key := "anonymousId"
		if typ == "alias" {
			key = "previousId"
		}
		l.put(event.Home(device, spec.Partitions), fmt.Sprintf(`{"type":"%s","%s":"%s","timestamp":"%s"%s}`, typ, key, device, at.Format(time.RFC3339Nano), more), trust)
	}
	const ann, order = `,"userId":"ann"`, `,"event":"Order Completed","messageId":"order-17","properties":{"total":80}`
	send(event.Proven, "desk", "identify", ann)
	send(event.Public, "desk", "track", `,"event":"Product Added","properties":{"price":80,"quantity":1}`)
	send(event.Public, "desk", "track", order) // a stranger who knows the device
	send(event.Public, "mallory", "identify", ann+`,"context":{"userAgent":"Googlebot/2.1 (+http://www.google.com/bot.html)","device":{"type":"bot"}}`)
	send(event.Public, "mallory", "track", ann+`,"event":"Cart Cleared","context":{"device":{"type":"bot"}}`)
	send(event.Public, "mallory", "track", ann+`,"event":"Product Added","properties":{"price":1,"quantity":1}`)
	send(event.Public, "ghost", "alias", ann)
	for i := range 30 {
		send(event.Public, fmt.Sprint("squatter", i), "identify", ann)
	}
	send(event.Public, "user:ann", "track", order)
	l.put(event.Home("user:ann", spec.Partitions), fmt.Sprintf(`{"type":"track","userId":"ann"%s,"timestamp":"%s"}`, order, at.Format(time.RFC3339Nano)), event.Public)
	before := runPlain(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(1, 1))))
	row := before[rows.TableSegmentState]["test|u:ann"]
	if row["devices"] != "1" || row["bot"] != "0" || row["orders"] != "1" || row["revenue"] != "80" {
		t.Errorf("ann is %v", row)
	}
	if r := before[tablePublished]["d:mallory"]; r == nil || r["user"] != "" || before[rows.TableSegmentState]["test|d:mallory"]["bot"] != "0" && r["user"] != "" {
		t.Errorf("mallory is served as %v", r)
	}
	if s := before[rows.TableSessions]; len(s) == 0 {
		t.Error("no sessions")
	} else {
		for _, r := range s {
			if r["device"] == "mallory" && (r["person"] != "d:mallory" || r["claimed_user"] != "ann") {
				t.Errorf("mallory's session is %v", r)
			}
		}
	}
	// The shop's own order, of the same messageId and device, counts.
	spec.Job += "-shop"
	send(event.Server, "desk", "track", ann+order)
	l.put(event.Home("user:ann", spec.Partitions), fmt.Sprintf(`{"type":"track","userId":"ann"%s,"timestamp":"%s"}`, order, at.Format(time.RFC3339Nano)), event.Server)
	after := runPlain(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(1, 1))))
	if row := after[rows.TableSegmentState]["test|u:ann"]; row["orders"] != "3" || row["devices"] != "2" {
		t.Errorf("with the shop's orders ann is %v", row)
	}
	reasons := map[string]int{}
	for _, r := range after[rows.TableDeadLetters] {
		reasons[r["reason"]]++
	}
	if reasons["identity"] != 2 || reasons["malformed"] != 1 {
		t.Errorf("dead letters %v", reasons)
	}
}
