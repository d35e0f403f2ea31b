package transforms

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
)

// TestReplayWithErasures: a job that starts again after deletions makes nothing
// of what was deleted, not for a moment, and ends where the first one stood:
// what is known of everybody else, when time passed, what was late.
func TestReplayWithErasures(t *testing.T) {
	t.Parallel()
	tried := 0
	for seed := range seeds(80) {
		r := rand.New(rand.NewPCG(seed, 5))
		spec := testSpec(t, fmt.Sprint("erased-", seed), 1+r.IntN(2), 3)
		l := randomLog(r, spec.Partitions, 60+r.IntN(80), r.IntN(2) == 0, r.IntN(2) == 0)
		if seed%4 > 0 {
			l.trust(r, false)
		}
		// What is ahead of its partition's clock has its users evaluated then, and what was
		// deleted is ahead no longer; time goes past all of it.
		l.level(r, spec.Partitions)
		last := l.tombstones(t, &spec)
		want := runPlain(t, &spec, l, l.cut(t, &spec, r))
		want.erase(t, last)

		again := spec
		again.Job += "-again"
		again.Erased = slices.Collect(maps.Values(last))
		got := runPlain(t, &again, l, l.cut(t, &again, r))
		for d, x := range last {
			tried += noTraceBefore(t, seed, got, d, x)
		}
		same(t, seed, "sessions", want.list(rows.TableSessions, nil, "version"), got.list(rows.TableSessions, nil, "version"))
		same(t, seed, "published records", want.list(tablePublished, nil, "since", "at"), got.list(tablePublished, nil, "since", "at"))
		living := func(row map[string]string) bool { return row["deleted"] == "0" }
		without := []string{"version", "evaluated_at", "next_evaluation", "live", "long", "intent", "signal_weight", "transitions", "since"}
		same(t, seed, "persons", want.list(rows.TableSegmentState, living, without...), got.list(rows.TableSegmentState, living, without...))
		of := func(row map[string]string) bool { return row["stage"] == rows.StageDevice }
		same(t, seed, "progress", want.list(rows.TableProgress, of, "version", "good", "duplicate", "dead"), got.list(rows.TableProgress, of, "version", "good", "duplicate", "dead"))
		for _, row := range got[rows.TableProgress] {
			n := map[string]int{}
			for _, c := range []string{"read", "good", "duplicate", "dead"} {
				v, err := strconv.Atoi(row[c])
				check(t, err)
				n[c] = v
			}
			if n["read"] != n["good"]+n["duplicate"]+n["dead"] {
				t.Fatalf("seed %d: %v", seed, row)
			}
		}
	}
	if tried == 0 {
		t.Error("no device was deleted in any run")
	}
}

// noTraceBefore looks for rows of a device from before its tombstone.
func noTraceBefore(t *testing.T, seed uint64, got tables, device string, x identity.Erasure) int {
	t.Helper()
	for _, row := range got[rows.TableSessions] {
		version, err := strconv.ParseInt(row["version"], 10, 64)
		check(t, err)
		if row["device"] == device && version>>13 < x.Offset {
			t.Fatalf("seed %d: a session of %s from before its deletion is back: %v", seed, device, row)
		}
	}
	for _, row := range got[rows.TableDeadLetters] {
		offset, err := strconv.ParseInt(row["offset"], 10, 64)
		check(t, err)
		if p := strconv.Itoa(int(x.Partition)); row["partition"] == p && offset < x.Offset && strings.Contains(fmt.Sprint(row), `"`+device+`"`) {
			t.Fatalf("seed %d: a dead letter of %s from before its deletion is back: %v", seed, device, row)
		}
	}
	for _, row := range got[rows.TableSegmentEvents] {
		offset, err := strconv.ParseInt(row["offset"], 10, 64)
		check(t, err)
		if row["person"] == "d:"+device && offset >= 0 && offset < x.Offset {
			t.Fatalf("seed %d: a membership of %s from before its deletion is back: %v", seed, device, row)
		}
	}
	return 1
}
