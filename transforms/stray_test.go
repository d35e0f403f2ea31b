package transforms

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rows"
)

// scatter copies some records into partitions that are not their devices', and
// returns with the log what it would be with records there that nobody can read:
// a stray must not do more than those.
func (l *testLog) scatter(t *testing.T, r *rand.Rand, spec *Spec) (scattered, unreadable *testLog, strays int) {
	t.Helper()
	d, err := event.NewDecoder(spec.Event)
	check(t, err)
	scattered, unreadable = &testLog{}, &testLog{}
	for _, rec := range l.arrival {
		var e event.Event
		if r.IntN(4) == 0 && d.Decode(rec.Value, event.Unstated, 0, &e) == nil && e.Kind != event.KindDelete {
			p := (rec.Partition + 1 + r.Int32N(spec.Partitions-1)) % spec.Partitions
			scattered.add(p, string(rec.Value))
			unreadable.add(p, "a stray")
			strays++
		}
		scattered.add(rec.Partition, string(rec.Value))
		unreadable.add(rec.Partition, string(rec.Value))
	}
	return scattered, unreadable, strays
}

// TestStrays: records in partitions that are not their devices', of the same shard
// or another one, become dead letters and change nothing else. They were counted
// there a second time, as another device of the same name, or ended the job.
func TestStrays(t *testing.T) {
	t.Parallel()
	for seed := range seeds(40) {
		r := rand.New(rand.NewPCG(seed, 31))
		spec := testSpec(t, fmt.Sprint("strays-", seed), 1+r.IntN(3), 4)
		l, plain, n := randomLog(r, spec.Partitions, 60+r.IntN(60), true, true).scatter(t, r, &spec)
		again := spec
		again.Job += "-plain"
		order := r.Uint64()
		got := runPlain(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(order, 1))))
		want := runPlain(t, &again, plain, plain.cut(t, &again, rand.New(rand.NewPCG(order, 1))))
		for _, x := range []string{rows.TableSessions, rows.TableSegmentEvents, rows.TableSegmentState, tablePublished, rows.TableProgress} {
			same(t, seed, x, want.list(x, nil, "decided_at"), got.list(x, nil, "decided_at"))
		}
		letters, alerts := 0, 0
		for key, row := range got[rows.TableDeadLetters] {
			if row["reason"] == string(event.Stray) {
				letters++
				if !strings.Contains(row["detail"], "source.rekey") || row["payload"] == "" {
					t.Fatalf("seed %d: the dead letter %s says %q and has %q", seed, key, row["detail"], row["payload"])
				}
			} else if was := want[rows.TableDeadLetters][key]; was == nil || was["reason"] != row["reason"] {
				t.Fatalf("seed %d: %s is %v, not %v", seed, key, row, was)
			}
		}
		for _, row := range got[rows.TableAlerts] {
			if row["kind"] == rows.AlertStray {
				alerts++
			}
		}
		if letters != n || n > 0 && alerts == 0 {
			t.Fatalf("seed %d: %d strays, %d dead letters and %d alerts of them", seed, n, letters, alerts)
		}
	}
}
