package transforms

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/testing/oracle"
)

// TestOracleLetsGo: the oracle, by which whole jobs are judged, knew no limit of devices, so
// that no run with a small one could be judged. It lets the same ones go as the stages, by a
// rule of its own: the same verdicts, sessions, persons, paths and users come of logs of
// strangers, users, late events and such that come again after their device was let go.
func TestOracleLetsGo(t *testing.T) {
	t.Parallel()
	tried := map[string]int{}
	for seed := range seeds(60) {
		r := rand.New(rand.NewPCG(seed, 24))
		shards := 1 + r.IntN(2)
		spec := testSpec(t, fmt.Sprint("lets-go-", seed), shards, 3)
		spec.MaxUsers = 0
		cfg := config.Demo()
		cfg.State.MaxDevices = 1 + r.IntN(60)
		if r.IntN(2) == 0 {
			cfg.State.Single = 10 * time.Minute
		}
		spec.MaxState, spec.SingleMS = cfg.State.MaxDevices, cfg.State.Single.Milliseconds()
		l := strangerLog(r, spec.Partitions, 150+r.IntN(150), 70)
		got := runPlain(t, &spec, l, l.cut(t, &spec, r))
		o, err := oracle.New(cfg)
		check(t, err)
		o.Partitions = int(spec.Partitions)
		for _, rec := range l.arrival {
			check(t, o.Take(&oracle.Record{Partition: rec.Partition, Offset: rec.Offset, Value: rec.Value, Trust: rec.Trust}))
		}
		want := o.Result()
		tried["evicted"] += got.evicted()
		tried["duplicates"] += want.Duplicate
		tried["users"] += compareWithOracle(t, seed, got, want)
		for _, letter := range want.Letters {
			tried["dead: "+string(letter.Reason)]++
		}
		forgetBuilt(spec.Job)
	}
	for _, what := range []string{"evicted", "duplicates", "users", "dead: " + string(event.Late)} {
		if tried[what] < 10 && !chosen() {
			t.Errorf("%d %s: the logs prove little", tried[what], what)
		}
	}
	t.Log(tried)
}

// strangerLog is a crowdedLog in which nobody is deleted, which the oracle knows nothing of, and
// in which each partition has a time from the start.
func strangerLog(r *rand.Rand, parts int32, n, devices int) *testLog {
	drawn, l := crowdedLog(r, parts, n, devices, true, true), &testLog{}
	drawn.trust(r, true)
	for p := range parts {
		l.add(p, visit(r, firstOf(p, parts), "", 10_000+int(p), time.Date(2026, 3, 1, 9, 59, 0, 0, time.UTC)))
	}
	for _, rec := range drawn.arrival {
		l.put(rec.Partition, strings.Replace(string(rec.Value), event.TypeDelete, "reset", 1), rec.Trust)
	}
	return l
}

// compareWithOracle returns how many devices are users'.
func compareWithOracle(t *testing.T, seed uint64, got tables, want *oracle.Result) (linked int) {
	t.Helper()
	var persons, letters, told, sessions, judged []string
	for _, row := range got[rows.TableSegmentState] {
		if row["deleted"] == "0" {
			persons = append(persons, row["person"])
		}
	}
	slices.Sort(persons)
	same(t, seed, "persons", want.Persons(), persons)
	for _, x := range want.Letters {
		judged = append(judged, fmt.Sprint(x.Partition, " ", x.Offset, " ", x.Reason))
	}
	for _, row := range got[rows.TableDeadLetters] {
		letters = append(letters, fmt.Sprint(row["partition"], " ", row["offset"], " ", row["reason"]))
	}
	slices.Sort(judged)
	slices.Sort(letters)
	same(t, seed, "dead letters", judged, letters)
	// Of who comes back and does at one time what it had done then the newer row counts.
	key := func(device string, epoch, start any) string { return fmt.Sprint(device, " ", epoch, " ", start, " ") }
	keys := map[string]int{}
	for _, s := range want.Sessions {
		keys[key(s.Device, s.Epoch, s.Start)]++
	}
	for _, s := range want.Sessions {
		if k := key(s.Device, s.Epoch, s.Start); keys[k] == 1 {
			told = append(told, fmt.Sprint(k, s.End, " ", s.Events, " ", s.PageViews))
		}
	}
	for _, row := range got[rows.TableSessions] {
		if k := key(row["device"], row["epoch"], row["start"]); row["deleted"] == "0" && keys[k] < 2 {
			sessions = append(sessions, k+row["end"]+" "+row["events"]+" "+row["page_views"])
		}
	}
	slices.Sort(told)
	slices.Sort(sessions)
	same(t, seed, "sessions", told, sessions)
	for _, d := range want.Devices() {
		row := got[tablePublished]["d:"+d]
		if u := row["user"]; u != want.User(d) {
			t.Fatalf("seed %d: %s is served as %q's, the oracle says %q's", seed, d, u, want.User(d))
		} else if u != "" {
			linked++
		}
	}
	for _, row := range got[rows.TableSegmentState] {
		device, unlinked := strings.CutPrefix(row["person"], "d:")
		if !unlinked || row["deleted"] != "0" {
			continue
		}
		at, err := strconv.ParseInt(row["evaluated_at"], 10, 64)
		check(t, err)
		path, err := want.Path(device, at)
		check(t, err)
		if path != cmp.Or(row["path"], path) {
			t.Fatalf("seed %d: %s is in %s, the oracle says %s", seed, device, row["path"], path)
		}
	}
	return linked
}
