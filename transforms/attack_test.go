package transforms

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rows"
)

// canaries are visitors who have nothing to do with an attack.
const canaries = 6

// attack is what one who has the public key sends of two devices, among what the
// canaries do: events in reverse order, and log-ins and log-outs in turn.
func attack(r *rand.Rand, n int, attacked bool) *testLog {
	l := &testLog{step: 400}
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for i := range n {
		at := start.Add(time.Duration(i) * 20 * time.Millisecond)
		if i%20 == 0 {
			d := i / 20 % canaries
			l.put(home(d, 1), visit(r, fmt.Sprint("d", d), "", i, at), event.Public)
		}
		if !attacked {
			continue
		}
		back := start.Add(time.Duration(n-i) * 5 * time.Millisecond)
		l.put(0, visit(rand.New(rand.NewPCG(uint64(i), 1)), "reverse", "", n+i, back), event.Public)
		if i%2 == 0 {
			l.put(0, visit(rand.New(rand.NewPCG(uint64(i), 2)), "turns", fmt.Sprint("u", i%6), 2*n+i, at), event.Public)
		} else {
			l.put(0, fmt.Sprintf(`{"type":"reset","anonymousId":"turns","messageId":"%d"}`, 2*n+i), event.Public)
		}
	}
	return l
}

// TestAttackCostsLittle: what one device sends in a few kilobytes changes nothing for
// others, costs a bounded number of folds an event, and as few when a killed job applies
// it again: a start after such an attack once took 150 s.
func TestAttackCostsLittle(t *testing.T) {
	t.Parallel()
	const n = 3000
	run := func(name string, attacked bool) (tables, uint64, uint64) {
		spec := testSpec(t, name, 1, 1)
		spec.MaxPending = 1000
		var folded uint64
		b, err := spec.buildOnce()
		check(t, err)
		b.Identity.Session.Refolded = &folded
		r := rand.New(rand.NewPCG(1, 1))
		l := attack(r, n, attacked)
		j := &memJournal{logs: make([][][]byte, 2*spec.Shards+1)}
		s := newSeen(l)
		p := start(t, r, &spec, l, j, s, 0)
		check(t, p.run())
		first := folded
		j.manifest, folded = nil, 0 // the next process applies all of it again
		p = start(t, r, &spec, l, j, s, 0)
		check(t, p.run())
		return s.out, first, folded
	}
	quiet, _, _ := run("quiet", false)
	loud, first, again := run("loud", true)
	if most := uint64(300 * n); first > most || again > most {
		t.Errorf("%d events of a device folded %d once more, and %d after a restart", n, first, again)
	}
	canary := func(row map[string]string) bool {
		for d := range canaries {
			if id := fmt.Sprint("d", d); row["device"] == id || row["person"] == "d:"+id {
				return true
			}
		}
		return false
	}
	for _, table := range []string{rows.TableSessions, rows.TableSegmentState} {
		same(t, 1, table, quiet.list(table, canary, "version", "decided_at", "evaluated_at"), loud.list(table, canary, "version", "decided_at", "evaluated_at"))
	}
	letters := 0
	for _, row := range loud[rows.TableDeadLetters] {
		if row["reason"] != string(event.TooMany) || row["device"] != "reverse" {
			t.Fatalf("a dead letter that is none of the limit: %v", row)
		}
		letters++
	}
	if letters == 0 {
		t.Error("the limit was not reached")
	}
}
