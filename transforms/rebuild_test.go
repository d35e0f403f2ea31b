package transforms

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
)

// breakSome makes dead letters of some records: what is read of them first is not
// what their text says, as by a decoder with a fault that is mended later. They
// are none that let time pass, or others would have been judged otherwise.
func (l *testLog) breakSome(t *testing.T, r *rand.Rand, spec *Spec) (letters map[identity.Place]identity.Letter, devices map[string]bool) {
	t.Helper()
	d, err := event.NewDecoder(spec.Event)
	check(t, err)
	letters, devices, l.mended = map[identity.Place]identity.Letter{}, map[string]bool{}, map[identity.Place][]byte{}
	clocks := map[int32]int64{}
	for i := range l.arrival {
		rec := &l.arrival[i]
		var e event.Event
		if d.Decode(rec.Value, event.Unstated, 0, &e) != nil {
			continue
		}
		if (e.Kind == event.KindReset || !e.Kind.Control() && e.Time <= clocks[rec.Partition]) && r.IntN(3) > 0 {
			at := identity.Place{Partition: rec.Partition, Offset: rec.Offset}
			l.mended[at] = rec.Value
			rec.Value = []byte(`{"broken":`)
			l.parts[at.Partition][at.Offset].Value = rec.Value
			letters[at] = identity.Letter{Reason: event.Malformed}
			devices[e.Device] = true
			continue
		}
		clocks[rec.Partition] = max(clocks[rec.Partition], e.Time)
	}
	return letters, devices
}

// poisonSome leaves more such records out, as a job does of which a stage panics. Of
// some the replay knows that, and puts them in their place; those that it does not know
// of, because it looked before the job came to them, are lost to it.
func (l *testLog) poisonSome(t *testing.T, r *rand.Rand, spec *Spec, letters map[identity.Place]identity.Letter, devices map[string]bool) (lost map[identity.Place]bool) {
	t.Helper()
	d, err := event.NewDecoder(spec.Event)
	check(t, err)
	lost = map[identity.Place]bool{}
	clocks := map[int32]int64{}
	for _, rec := range l.arrival {
		var e event.Event
		if d.Decode(rec.Value, event.Unstated, 0, &e) != nil {
			continue
		}
		at := identity.Place{Partition: rec.Partition, Offset: rec.Offset}
		if !e.Kind.Control() && e.Time <= clocks[rec.Partition] && r.IntN(2) == 0 {
			if l.left = append(l.left, at); r.IntN(2) == 0 {
				letters[at], devices[e.Device] = identity.Letter{Reason: event.Poison}, true
			} else {
				lost[at] = true
			}
			continue
		}
		clocks[rec.Partition] = max(clocks[rec.Partition], e.Time)
	}
	return lost
}

// mend is a record as the mended decoder reads it.
func (l *testLog) mend(rec identity.Record) identity.Record {
	if text, ok := l.mended[identity.Place{Partition: rec.Partition, Offset: rec.Offset}]; ok {
		rec.Value = text
	}
	return rec
}

// rebuild gathers the devices' histories and adds the records that make them anew,
// in parts of a few bytes; between reading and writing more records come.
func (l *testLog) rebuild(t *testing.T, r *rand.Rand, spec *Spec, letters map[identity.Place]identity.Letter, devices map[string]bool, more []identity.Record) {
	t.Helper()
	d, err := event.NewDecoder(spec.Event)
	check(t, err)
	g := identity.NewGatherer(d, devices, letters, nil)
	for _, p := range slices.Sorted(maps.Keys(l.parts)) {
		for i := range l.parts[p] {
			rec := l.mend(l.parts[p][i])
			g.Take(&rec)
		}
	}
	for _, device := range slices.Sorted(maps.Keys(devices)) {
		for p, h := range g.Histories(device) {
			h.Receipt = "receipt"
			parts, err := h.Parts(40 + r.IntN(3000))
			check(t, err)
			for _, b := range parts {
				for len(more) > 0 && r.IntN(3) == 0 {
					l.put(more[0].Partition, string(more[0].Value), more[0].Trust)
					more = more[1:]
				}
				l.add(p, string((&event.Rebuild{Device: device, Receipt: "receipt", Payload: b}).Append(nil)))
			}
		}
	}
	for _, m := range more {
		l.put(m.Partition, string(m.Value), m.Trust)
	}
}

// TestReplay: dead letters that read now are in their place, with all that follows
// from them: links, epochs, duplicates of them that were good; the state is that
// of a fold over the whole log as it reads now, sessions, persons, memberships and
// what serving reads included.
func TestReplay(t *testing.T) {
	t.Parallel()
	outcomes, causes := map[string]int{}, map[string]int{}
	for seed := range seeds(500) {
		r := rand.New(rand.NewPCG(seed, 9))
		parts, shards := int32(3), 1+r.IntN(2)
		spec := testSpec(t, fmt.Sprint("replay-", seed), shards, parts)
		whole := linkLog(r, parts, 20+r.IntN(40))
		if seed%2 == 1 {
			whole.trust(r, true)
		}
		whole.deleteUsers(rand.New(rand.NewPCG(seed, 14)), 3)
		n := len(whole.arrival) * (1 + r.IntN(4)) / 4
		l := &testLog{}
		for _, rec := range whole.arrival[:n] {
			l.put(rec.Partition, string(rec.Value), rec.Trust)
		}
		more := whole.arrival[n:]
		letters, devices := l.breakSome(t, r, &spec)
		lost := l.poisonSome(t, r, &spec, letters, devices)
		l.rebuild(t, r, &spec, letters, devices, more)
		b, err := spec.buildOnce()
		check(t, err)
		open := memberships{}
		got := runPlainWith(t, &spec, l, l.cut(t, &spec, r), func(b rows.Batch) { open.take(t, seed, b) })
		mended := &testLog{}
		for _, rec := range l.arrival {
			if rec = l.mend(rec); lost[identity.Place{Partition: rec.Partition, Offset: rec.Offset}] {
				rec.Value = []byte("lost")
			}
			mended.arrival = append(mended.arrival, rec)
		}
		m := replay(t, b, mended, len(l.arrival))
		got.erase(t, l.tombstones(t, &spec))
		if len(m.gone) == 0 { // else which rows a deletion takes is told by the epochs as they were then
			compareSessions(t, seed, got, m)
		}
		comparePersons(t, seed, got, m, true)
		comparePublished(t, seed, got)
		compareUsers(t, seed, got, m)
		compareServed(t, seed, got, m)
		open.compare(t, seed, got)
		for _, row := range got[rows.TableReplayed] {
			outcomes[row["outcome"]]++
		}
		for _, row := range got[rows.TableSegmentEvents] {
			causes[row["cause"]]++
		}
		forgetBuilt(spec.Job)
	}
	few := outcomes[identity.ReplayedGood] < 500 || outcomes[identity.ReplayedDuplicate] < 100 || causes["replay"] < 100
	if outcomes[identity.ReplayedHistory] > 0 || few && !chosen() {
		t.Errorf("the replays prove little, or failed: %v, changes of path %v", outcomes, causes)
	}
}

// TestReplayKeepsWhatTheLogHasNot: a device whose state comes from events that the
// log has dropped is left as it is, and so is one whose history does not arrive
// whole, unless the replay says that the rest is enough.
func TestReplayKeepsWhatTheLogHasNot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		cut, torn       bool
		outcome, events string
	}{
		{"refused", false, false, identity.ReplayedHistory, "3"},
		{"cut", true, false, identity.ReplayedGood, "2"},
		{"torn", true, true, "", "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			spec := testSpec(t, "keeps-"+c.name, 1, 1)
			l := &testLog{}
			page := func(id int) string {
				return fmt.Sprintf(`{"type":"page","anonymousId":"d","messageId":"m%d","timestamp":"2026-03-01T10:00:0%dZ","properties":{"url":"https://x.y/"}}`, id, id)
			}
			for id := range 4 {
				l.add(0, page(id))
			}
			l.arrival[3].Value = []byte(`{"broken":`)
			letters := map[identity.Place]identity.Letter{{Partition: 0, Offset: 3}: {Reason: event.Malformed}}
			d, err := event.NewDecoder(spec.Event)
			check(t, err)
			g := identity.NewGatherer(d, map[string]bool{"d": true}, letters, nil)
			for i := range l.parts[0][2:] { // the first two are gone
				g.Take(&l.parts[0][2+i])
			}
			h := g.Histories("d")[0]
			h.Cut = c.cut
			parts, err := h.Parts(50)
			check(t, err)
			if c.torn {
				parts = parts[1:]
			}
			for _, b := range parts {
				l.add(0, string((&event.Rebuild{Device: "d", Receipt: "r", Payload: b}).Append(nil)))
			}
			got := runPlain(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(1, 1))))
			if row := got[rows.TableReplayed]["test|0|3"]; row["outcome"] != c.outcome {
				t.Errorf("the letter's replay is %v, not %q", row, c.outcome)
			}
			n := 0
			for _, row := range got[rows.TableSessions] {
				if n++; row["events"] != c.events && n == 1 {
					t.Errorf("the session is %v, it should have %s events", row, c.events)
				}
			}
			if dead := len(got[rows.TableDeadLetters]); dead != 1+map[bool]int{true: 1}[c.torn] {
				t.Errorf("%d dead letters", dead)
			}
		})
	}
}

// TestReplayOfTheFuture: a letter that is ahead of all others' time by more than the
// allowed lateness is in its place, and what came behind it is not late because of
// it: verdicts that were given stay. From the replay on its time has passed.
func TestReplayOfTheFuture(t *testing.T) {
	t.Parallel()
	spec := testSpec(t, "future", 1, 1)
	l := &testLog{}
	page := func(device string, id, minute int) string {
		return fmt.Sprintf(`{"type":"page","anonymousId":%q,"messageId":"m%d","timestamp":"2026-03-01T10:%02d:00Z","receivedAt":"2026-03-01T10:%02[3]d:00Z","properties":{"url":"https://x.y/"}}`, device, id, minute)
	}
	l.add(0, page("d", 0, 0))
	l.add(0, page("d", 1, 20))
	l.add(0, page("d", 2, 2))
	l.add(0, page("e", 3, 3))
	l.mended = map[identity.Place][]byte{{Partition: 0, Offset: 1}: l.arrival[1].Value}
	l.arrival[1].Value, l.parts[0][1].Value = []byte(`{"broken":`), []byte(`{"broken":`)
	l.rebuild(t, rand.New(rand.NewPCG(1, 1)), &spec, map[identity.Place]identity.Letter{{Partition: 0, Offset: 1}: {Reason: event.Future}}, map[string]bool{"d": true}, nil)
	l.add(0, page("e", 4, 4))
	got := runPlain(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(1, 1))))
	if row := got[rows.TableReplayed]["test|0|1"]; row["outcome"] != identity.ReplayedGood {
		t.Errorf("the letter's replay is %v", row)
	}
	events := map[string]string{}
	for _, row := range got[rows.TableSessions] {
		events[row["device"]] = row["events"]
	}
	if events["d"] != "3" || events["e"] != "1" {
		t.Errorf("events of the sessions: %v", events)
	}
	late := 0
	for _, row := range got[rows.TableDeadLetters] {
		if row["reason"] == string(event.Late) {
			late++
		}
	}
	if late != 1 {
		t.Errorf("%d late events, not the one behind the replay", late)
	}
}

// TestReplayLeavesEarlierUsers: the log no longer holds what a user did on a device
// before logging out there. A replay of the device would have taken it from the
// user, who has nothing else: it refuses, and with cut it leaves the user alone.
func TestReplayLeavesEarlierUsers(t *testing.T) {
	t.Parallel()
	for cut, outcome := range map[bool]string{false: identity.ReplayedHistory, true: identity.ReplayedGood} {
		spec := testSpec(t, fmt.Sprint("earlier-", cut), 1, 1)
		l := &testLog{}
		page := func(id int, user string) string {
			return fmt.Sprintf(`{"type":"page","anonymousId":"d","messageId":"m%d"%s,"timestamp":"2026-03-01T10:00:0%dZ","properties":{"url":"https://x.y/"}}`, id, user, id)
		}
		l.add(0, page(0, `,"userId":"x"`))
		l.add(0, `{"type":"reset","anonymousId":"d","messageId":"r"}`)
		l.add(0, page(2, ""))
		l.add(0, page(3, ""))
		l.arrival[3].Value = []byte(`{"broken":`)
		d, err := event.NewDecoder(spec.Event)
		check(t, err)
		g := identity.NewGatherer(d, map[string]bool{"d": true}, map[identity.Place]identity.Letter{{Partition: 0, Offset: 3}: {Reason: event.Malformed}}, nil)
		for i := range l.parts[0][1:] {
			g.Take(&l.parts[0][1+i])
		}
		h := g.Histories("d")[0]
		h.Cut = cut
		parts, err := h.Parts(1 << 20)
		check(t, err)
		l.add(0, string((&event.Rebuild{Device: "d", Receipt: "r", Payload: parts[0]}).Append(nil)))
		got := runPlain(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(1, 1))))
		if row := got[rows.TableReplayed]["test|0|3"]; row["outcome"] != outcome {
			t.Errorf("cut %v: the letter's replay is %v", cut, row)
		}
		if row := got[rows.TableSegmentState]["test|u:x"]; row["deleted"] != "0" || row["devices"] != "1" {
			t.Errorf("cut %v: x is %v", cut, row)
		}
	}
}
