package transforms

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/testing/oracle"
)

// A shop of 30 visitors, a tenth of the size that all numbers have in the real one: for 80
// minutes each of them does something every five, and twelve have a cart. In minute 30
// comes the flood.
const (
	floodVisitors = 30
	floodMinutes  = 80
	floodAt       = 30
	floodSize     = 250
)

var floodStart = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func stamped(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// wave is what a flood sends of its i-th visitor at a time.
type wave struct {
	after time.Duration
	line  func(i int, at time.Time) string
	trust event.Trust
}

func one(i int, at time.Time) string {
	return fmt.Sprintf(`{"type":"page","anonymousId":"f%d","messageId":"f%d-%d","timestamp":"%s","receivedAt":"%s"}`, i, i, at.UnixMilli(), stamped(at), stamped(at))
}

// floods are what was tried, and what would be next; all but the last leave no trace.
var floods = map[string][]wave{
	"nobody":         nil,
	"one event each": {{0, one, event.Public}},
	"two in one request": {{0, one, event.Public}, {0, func(i int, at time.Time) string {
		return strings.Replace(one(i, at.Add(-20*time.Second)), stamped(at.Add(-20*time.Second))+`"}`, stamped(at)+`"}`, 1)
	}, event.Public}},
	"forged dwell": {{0, one, event.Public}, {0, func(i int, at time.Time) string {
		return fmt.Sprintf(`{"type":"track","event":"Page Pinged","anonymousId":"f%d","messageId":"p%d","timestamp":"%s","receivedAt":"%s","properties":{"seconds":900,"visible":true,"dwell":900}}`,
			i, i, stamped(at.Add(time.Minute)), stamped(at))
	}, event.Public}},
	"a server's night":                {{0, trait(`"userId":"c%d","context":{"active":false}`), event.Server}, {time.Minute, trait(`"userId":"c%d"`), event.Server}},
	"a page's traits, not active":     {{0, trait(`"anonymousId":"f%d","context":{"active":false}`), event.Public}, {time.Minute, trait(`"anonymousId":"f%d","context":{"active":false}`), event.Public}},
	"two events eleven seconds apart": {{0, one, event.Public}, {11 * time.Second, one, event.Public}},
}

func trait(who string) func(int, time.Time) string {
	return func(i int, at time.Time) string {
		return fmt.Sprintf(`{"type":"identify","messageId":"t%d-%d","timestamp":"%s","receivedAt":"%s",`+who+`}`, i, at.UnixMilli(), stamped(at), stamped(at), i)
	}
}

// floodLog is the shop's log with a flood in it.
func floodLog(parts int32, waves []wave) *testLog {
	l := &testLog{step: 40}
	put := func(line string, trust event.Trust) {
		_, device, anonymous := strings.Cut(line, `"anonymousId":"`)
		if !anonymous {
			_, device, _ = strings.Cut(line, `"userId":"`)
			device = "user:" + device
		}
		device, _, _ = strings.Cut(device, `"`)
		l.put(event.Home(device, parts), line, trust)
	}
	for s := range floodMinutes * 60 / 10 {
		at := floodStart.Add(time.Duration(s) * 10 * time.Second)
		i := s % floodVisitors
		line := fmt.Sprintf(`{"type":"page","anonymousId":"v%d","messageId":"v%d","timestamp":"%s","receivedAt":"%s"}`, i, s, stamped(at), stamped(at))
		if i%5 < 2 && s < 2*floodVisitors {
			line = fmt.Sprintf(`{"type":"track","event":"Product Added","anonymousId":"v%d","messageId":"v%d","timestamp":"%s","receivedAt":"%s","properties":{"price":20,"product_id":"p"}}`, i, s, stamped(at), stamped(at))
		}
		put(line, event.Public)
		for _, w := range waves {
			if when := floodStart.Add(floodAt*time.Minute + w.after); !when.Before(at) && when.Before(at.Add(10*time.Second)) {
				for k := range floodSize {
					put(w.line(k, when), w.trust)
				}
			}
		}
	}
	return l
}

func floodSpec(t *testing.T, job string, shards int) Spec {
	spec := testSpec(t, job, shards, 4)
	spec.MinSample, spec.JumpFactor = 20, 4
	return spec
}

// audienceOf are the rows of the audience by minute and path, without what is weighed.
func audienceOf(got tables) map[string]string {
	out := map[string]string{}
	for _, r := range got[rows.TableAudience] {
		out[r["minute"]+" "+r["path"]] = fmt.Sprint(r["members"], " of ", r["total"], " active ", r["active"], ": ", r["why"])
	}
	return out
}

// inMinute is the row of a path in the last minute that was decided up to one of the shop's.
func inMinute(got tables, path string, minute int) (row map[string]string) {
	upTo := fmt.Sprint(floodStart.Add(time.Duration(minute) * time.Minute).UnixMilli())
	for _, r := range got[rows.TableAudience] {
		if r["path"] == path && r["minute"] <= upTo && (row == nil || r["minute"] > row["minute"]) {
			row = r
		}
	}
	return row
}

// TestFloods: 2,500 visitors of one event each, in one request of 6 kB with the public key,
// made every segment inactive for half an hour, and so did 2,000 identifies of a shop's
// own server. Nobody who has made no visit counts; who has made one, in a crowd, holds all
// changes for ten minutes, and is told of.
func TestFloods(t *testing.T) {
	t.Parallel()
	calm := map[string]string{}
	for _, name := range append([]string{"nobody"}, slices.Sorted(maps.Keys(floods))...) {
		spec := floodSpec(t, "flood "+name, 2)
		l := floodLog(spec.Partitions, floods[name])
		got := runPlain(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(1, 41))))
		compareOracle(t, name, l, got)
		is := audienceOf(got)
		if name == "nobody" {
			calm = is
		}
		visit := name == "two events eleven seconds apart"
		for key, want := range calm {
			if got := is[key]; !visit && got != want {
				t.Fatalf("%s: at %s %q; without the flood %q", name, key, got, want)
			}
		}
		if n := len(got[rows.TableAlerts]); !visit && n > 0 {
			t.Errorf("%s: alerts %v", name, got[rows.TableAlerts])
		}
		if visit {
			floodIsHeld(t, got)
		}
	}
}

// compareOracle compares who is active in the end with who is by the naive rules.
func compareOracle(t *testing.T, name string, l *testLog, got tables) {
	t.Helper()
	o, err := oracle.New(config.Demo())
	check(t, err)
	for _, r := range l.arrival {
		check(t, o.Take(&oracle.Record{Partition: r.Partition, Offset: r.Offset, Value: r.Value, Trust: r.Trust}))
	}
	last := inMinute(got, "everyone", 1<<20)
	var minute int64
	_, err = fmt.Sscan(last["minute"], &minute)
	check(t, err)
	active, err := o.Result().Active(minute)
	check(t, err)
	if last["total"] != fmt.Sprint(len(active)) {
		t.Errorf("%s: %s active visitors in the end, the oracle has %d", name, last["total"], len(active))
	}
}

func floodIsHeld(t *testing.T, got tables) {
	t.Helper()
	const layer, trigger = "everyone/high_intent", "everyone/high_intent/cart_abandoner"
	for _, x := range []struct {
		minute int
		active string
		why    string
	}{
		{floodAt - 1, "1", "40.0 % of 30"},
		{floodAt + 1, "1", "held until 10:41 UTC: from 30 to 280 active visitors"},
		{floodAt + 10, "1", "held"},
		{floodAt + 11, "0", "of 280 active visitors; 12 % are needed"}, // they are still there, so be it
		{floodAt + 31, "1", "40.0 % of 30"},
		{floodMinutes, "1", "40.0 % of 30"},
	} {
		r := inMinute(got, layer, x.minute)
		if r["active"] != x.active || !strings.Contains(r["why"], x.why) {
			t.Errorf("minute %d: active %s, %s; want %s, %s", x.minute, r["active"], r["why"], x.active, x.why)
		}
		if r := inMinute(got, trigger, x.minute); r["active"] != "1" || !strings.HasPrefix(r["why"], "exempt") {
			t.Errorf("minute %d: the exempt segment is active %s, %s", x.minute, r["active"], r["why"])
		}
	}
	var told []string
	for _, r := range got[rows.TableAlerts] {
		told = append(told, r["at"]+" "+r["kind"]+" "+r["state"])
	}
	slices.Sort(told)
	at := func(minute int) string {
		return fmt.Sprint(floodStart.Add(time.Duration(minute) * time.Minute).UnixMilli())
	}
	want := []string{at(floodAt+1) + " audience_jump raised", at(floodAt+11) + " audience_jump cleared"}
	if !slices.Equal(told, want) {
		t.Errorf("alerts %v, want %v", told, want)
	}
}

// TestFloodThroughRestarts: a hold is the same in a job that is killed between any two things
// that it does, and goes on with more shards or fewer.
func TestFloodThroughRestarts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 42))
		first := floodSpec(t, fmt.Sprint("flood-", seed), 2)
		l := floodLog(first.Partitions, floods["two events eleven seconds apart"])
		want := runPlain(t, &first, l, l.cut(t, &first, r))
		spec := &first
		j := &memJournal{logs: make([][][]byte, 2*spec.Shards+1)}
		s := newSeen(l)
		for life := 0; ; life++ {
			steps := 0
			if life < 15 {
				steps = 1 + r.IntN(200)
			}
			p := start(t, r, spec, l, j, s, steps)
			err := p.run()
			if err == nil && p.steps >= 0 {
				break
			}
			if err != nil && !errors.Is(err, errKilled) {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			if seed%2 == 0 || r.IntN(3) > 0 {
				continue
			}
			p = start(t, r, spec, l, j, s, 0)
			for !p.local.IsCaughtUp() {
				if _, err := p.advance(); err != io.EOF {
					check(t, err)
				}
			}
			p.rest()
			spec = regroup(t, spec, j, 1+r.IntN(4))
			s.era++
		}
		floodIsHeld(t, s.out)
		if seed%2 == 0 {
			compareLives(t, seed, &first, l, want, s.out)
		}
		forgetBuilt(spec.Job)
	}
}
