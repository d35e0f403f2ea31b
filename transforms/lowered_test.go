package transforms

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"testing"

	"github.com/microseg/microseg/rows"
)

// withLimit is the job with another limit of devices.
func withLimit(spec *Spec, devices int) *Spec {
	forgetBuilt(spec.Job)
	next := *spec
	next.MaxState = devices
	return &next
}

// anew lets a lower limit decide otherwise what was decided before it.
func (s *seen) anew() {
	s.first, s.told = map[string]string{}, map[string]*reader{}
	s.era++
}

// ghosts fails where anybody is shown who is not in the states, or otherwise than there.
func (p *process) ghosts(t *testing.T, what string) {
	t.Helper()
	is := map[string]string{}
	for _, m := range p.local.devices {
		if n := m.state.persons.Owed(); n > 0 {
			t.Errorf("%s: %d are still owed", what, n)
		}
		m.state.persons.Each(func(person string, node int) { is[person] = pathOrNone(p.local.built.Segment.Tree, node) })
	}
	shown := map[string]string{}
	for _, r := range p.seen.out[rows.TableSegmentState] {
		if !isUser(r) && r["path"] != "" {
			shown[r["person"]] = r["path"]
		}
	}
	if fmt.Sprint(shown) != fmt.Sprint(is) {
		t.Fatalf("%s: rows show\n%v\nand there are\n%v", what, shown, is)
	}
	clear(shown)
	for _, r := range p.seen.out[tablePublished] {
		if !isUser(r) && r["user"] == "" {
			shown[r["person"]] = r["path"]
		}
	}
	if fmt.Sprint(shown) != fmt.Sprint(is) {
		t.Fatalf("%s: published are\n%v\nand there are\n%v", what, shown, is)
	}
	p.counted(0)
}

// owedIn is how many are still to be told of in the snapshots.
func owedIn(t *testing.T, spec *Spec, j *memJournal) (n int) {
	t.Helper()
	b, err := spec.Build()
	check(t, err)
	for i, r := range j.recovered()[:spec.Shards] {
		m, _, err := newDeviceTask(b, nil, i, &r)
		check(t, err)
		n += m.state.persons.Owed()
	}
	return n
}

// TestLowerLimitAtAnyMoment: a job that had died of memory died of it again at each start,
// with whatever limit of devices, since all devices were read before one could be let go.
// With a lower one it now reads no more than there is room for, and applies again what
// was applied before with no more than that. It is killed at any moment of it, again and
// again, goes on with other limits and other numbers of shards: nothing is decided in two
// ways from there on, and in the end nobody is shown who is not there.
func TestLowerLimitAtAnyMoment(t *testing.T) {
	t.Parallel()
	tried := map[string]int{}
	for seed := range seeds(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { lowerAtAnyMoment(t, seed, tried) })
	}
	for _, what := range []string{"let go as read", "owed", "raised", "regrouped", "regrouped with a lower limit"} {
		if tried[what] == 0 && !chosen() {
			t.Errorf("nothing was %s: nothing was tried", what)
		}
	}
	t.Log(tried)
}

func lowerAtAnyMoment(t *testing.T, seed uint64, tried map[string]int) {
	r := rand.New(rand.NewPCG(seed, 61))
	first := testSpec(t, fmt.Sprint("lower-", seed), 1+r.IntN(2), 4)
	spec := &first
	defer func() { forgetBuilt(spec.Job) }()
	spec.MaxState = 400 * r.IntN(2)
	l := crowdedLog(r, spec.Partitions, 150+r.IntN(150), 60, true, seed%2 == 0)
	l.trust(r, false)
	l.level(r, spec.Partitions)
	j := &memJournal{logs: make([][][]byte, 2*spec.Shards+1)}
	s := newSeen(l)
	const lowerAt = 2
	raised, limit := false, 1<<20
	for life := 0; ; life++ {
		if life >= lowerAt && !raised {
			if next := 4 * (1 + r.IntN(4)); next < limit && (life == lowerAt || r.IntN(3) == 0) {
				limit = next
				s.anew()
			}
			spec = withLimit(spec, limit)
		}
		steps := 0
		if life < 12 {
			steps = 1 + r.IntN(200)
		}
		if life == lowerAt-1 {
			steps = 200 + r.IntN(400)
		}
		p := start(t, r, spec, l, j, s, steps)
		for _, m := range p.local.devices {
			tried["let go as read"] += m.state.shard.LetGoAsRead()
			tried["owed"] += m.state.persons.Owed()
		}
		err := p.run()
		if err == nil && p.steps >= 0 && life >= lowerAt {
			p.ghosts(t, fmt.Sprint("life ", life))
			break
		}
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatalf("life %d: %v", life, err)
		}
		if life >= lowerAt && r.IntN(2) == 0 {
			tried["raised"]++
			raised = true
			spec = withLimit(spec, 400)
		}
		if life == lowerAt-1 && seed%2 == 1 || life > lowerAt && r.IntN(2) == 0 {
			p = start(t, r, spec, l, j, s, 0)
			for !p.local.IsCaughtUp() {
				if _, err := p.advance(); err != nil && err != io.EOF {
					t.Fatal(err)
				}
			}
			p.rest()
			if life == lowerAt-1 && seed%4 == 1 {
				continue // it was stopped in order, and keeps its shards
			}
			next := 4 * (1 + r.IntN(4))
			atOnce := !raised && next < limit // other shards and a lower limit, at the same start
			if atOnce {
				limit = next
				spec = withLimit(spec, limit)
				s.anew()
			}
			spec = regroup(t, spec, j, 1+r.IntN(4))
			s.era++
			tried["regrouped"]++
			if atOnce && owedIn(t, spec, j) > 0 {
				tried["regrouped with a lower limit"]++
			}
		}
	}
}
