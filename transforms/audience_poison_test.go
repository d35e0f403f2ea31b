package transforms

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
)

// TestAudiencePanics: the audience panics about something that a shard has told it. The
// job starts again and leaves that out, whenever it is killed; nobody's segment is decided
// otherwise, and there is an alert, which was missing: devices and persons had one alone.
func TestAudiencePanics(t *testing.T) {
	t.Parallel()
	kills := 0
	for seed := range seeds(12) {
		r := rand.New(rand.NewPCG(seed, 31))
		spec := testSpec(t, fmt.Sprint("audience-", seed), 1+r.IntN(2), 3)
		l := randomLog(r, spec.Partitions, 60+r.IntN(60), true, false)
		want := runPlain(t, &spec, l, l.cut(t, &spec, r))
		b, err := spec.buildOnce()
		check(t, err)
		told, bad := 0, identity.Place{Partition: -1}
		b.testPanic = func(stage string, at identity.Place) {
			if stage != "audience" {
				return
			}
			if told++; told == 3 && bad.Partition < 0 {
				bad = at
			}
			if at == bad {
				panic(fmt.Sprint("about ", at))
			}
		}
		j := &memJournal{logs: make([][][]byte, 2*spec.Shards+1)}
		s := newSeen(l)
		for life := 0; ; life++ {
			steps := 0
			if life < 8 {
				steps = 1 + r.IntN(150)
			}
			p := start(t, r, &spec, l, j, s, steps)
			err := p.run()
			if err == nil && p.steps >= 0 {
				break
			}
			if p := poisoned(err); p != nil && p.Decided && life < 100 {
				continue
			}
			if err != nil && !errors.Is(err, errKilled) {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			kills++
		}
		if bad.Partition < 0 {
			t.Fatalf("seed %d: the audience was told %d times: nothing was tried", seed, told)
		}
		alerts := 0
		for key, row := range s.out[rows.TableAlerts] {
			if strings.Contains(key, "poison") && row["subject"] == fmt.Sprint("audience reporter ", bad.Partition) {
				alerts++
			}
		}
		if alerts != 1 {
			t.Errorf("seed %d: %d alerts of %v: %v", seed, alerts, bad, s.out[rows.TableAlerts])
		}
		compareLives(t, seed, &spec, l, want, s.out)
		forgetBuilt(spec.Job)
	}
	if kills == 0 && !chosen() {
		t.Error("no life was ended: nothing was tried")
	}
}
