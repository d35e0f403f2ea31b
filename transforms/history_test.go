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

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/testing/oracle"
)

// shoppers makes the log of a few users, each with two to four devices and a server
// that speaks of it: they compare, fill carts, pause, and order anywhere. No two
// events have the same time.
func shoppers(r *rand.Rand, parts int32) *testLog {
	l := &testLog{}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	devices := map[string][]string{}
	users := []string{"ann", "bob", "dan"}
	for _, u := range users {
		for i := range 2 + r.IntN(3) {
			devices[u] = append(devices[u], fmt.Sprintf("%s%d-%d", u, i, r.IntN(1000)))
		}
	}
	for i := range 90 {
		at = at.Add(time.Duration(1+r.Int64N([]int64{5_000, 30_000, 90_000}[r.IntN(3)])) * time.Millisecond)
		u := users[r.IntN(len(users))]
		d := devices[u][r.IntN(len(devices[u]))]
		what := []string{`"type":"page","properties":{"path":"/compare"}`, `"type":"page","properties":{"path":"/cart"}`,
			`"type":"page","properties":{"path":"/compare/x"}`,
			`"type":"track","event":"Product Added","properties":{"product_id":"p","price":90,"quantity":1}`,
			`"type":"track","event":"Order Completed","properties":{"total":90}`}[r.IntN(5)]
		device := fmt.Sprintf(`"anonymousId":%q,`, d)
		if strings.Contains(what, "Order") && r.IntN(2) == 0 {
			d, device = "user:"+u, "" // the server
		}
		l.add(event.Home(d, parts), fmt.Sprintf(`{%s"userId":%q,"messageId":"%d","timestamp":%q,%s}`, device, u, i, at.Format("2006-01-02T15:04:05.000Z"), what))
	}
	return l
}

// cutFast makes the batches of a replay at full speed, long after: partitions are
// written within a second, idle while the log holds nothing of them, and read at
// different speeds.
func (l *testLog) cutFast(t *testing.T, spec *Spec, r *rand.Rand) (out []element) {
	t.Helper()
	d, err := NewBatchDecoder(spec)
	check(t, err)
	begin := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	next, last, written := map[int32]int64{}, map[int32]int64{}, map[int32]int64{}
	for p := range spec.Partitions {
		written[p] = begin + r.Int64N(900)
	}
	ids, left := make([]int64, spec.Shards), len(l.arrival)
	emit := func(shard int, now int64) {
		raw := identity.RawBatch{Shard: shard, ID: ids[shard], Emitted: now * 1000}
		ids[shard]++
		var records []identity.Record
		for p := int32(shard); p < spec.Partitions; p += int32(spec.Shards) {
			rest := l.parts[p][next[p]:]
			if now < written[p] {
				rest = nil
			}
			n := 0
			if len(rest) > 0 && r.IntN(3) > 0 {
				n = 1 + r.IntN(len(rest))
			}
			rg := identity.Range{Partition: p, Prev: next[p] - 1, First: next[p], Last: next[p] - 1 + int64(n)}
			switch quiet := now - last[p]; {
			case n > 0:
				last[p] = now
			case len(rest) == 0 && (quiet >= 5000 || last[p] == 0):
				rg.Idle = max(1, min(quiet, now-begin))
			}
			records, next[p], left = append(records, rest[:n]...), rg.Last+1, left-n
			raw.Ranges = append(raw.Ranges, rg)
		}
		if len(records) == 0 {
			raw.Due = raw.Emitted
		}
		raw.Chunks = [][]identity.Record{records}
		out = append(out, element{shard, sent(t, d, &raw)})
	}
	now := begin
	for left > 0 {
		now += r.Int64N(60)
		emit(r.IntN(spec.Shards), now)
	}
	for range 10 {
		now += 1000
		for shard := range spec.Shards {
			emit(shard, now)
		}
	}
	return out
}

// stay is where a user is from a time on.
type stay struct {
	at   int64
	path string
}

// stays are the paths of each user, in their order.
func stays(t *testing.T, ts tables) map[string][]stay {
	t.Helper()
	type numbered struct {
		stay
		n int
	}
	all, seen := map[string][]numbered{}, map[string]bool{}
	for _, row := range ts[rows.TableSegmentEvents] {
		if key := row["person"] + " " + row["transition"]; isUser(row) && !seen[key] {
			seen[key] = true
			n, err := strconv.Atoi(row["transition"])
			check(t, err)
			at, err := strconv.ParseInt(row["at"], 10, 64)
			check(t, err)
			all[row["person"][2:]] = append(all[row["person"][2:]], numbered{stay{at, row["to_path"]}, n})
		}
	}
	out := map[string][]stay{}
	for user, list := range all {
		slices.SortFunc(list, func(a, b numbered) int { return cmp.Compare(a.n, b.n) })
		for _, s := range list {
			out[user] = append(out[user], s.stay)
		}
	}
	return out
}

// at is where a user is at t by the naive model, which folds all events up to then.
func (m *model) at(user string, t int64) string {
	var parts []*oracle.Part
	for _, p := range m.linked(user) {
		e := &epoch{}
		for _, x := range p.Events {
			if x.Time <= t {
				e.events = append(e.events, x)
			}
		}
		if len(e.events) > 0 {
			parts = append(parts, &oracle.Part{Device: p.Device, Events: e.events, Fold: m.fold(e)})
		}
	}
	if len(parts) == 0 {
		return ""
	}
	node, _ := m.b.Segment.Tree.Decide(m.merge(parts, t), t)
	return m.b.Segment.Tree.Path(node)
}

// TestHistoriesOfUsers: in a replay at full speed a buyer who ordered on another
// device entered and left cart_abandoner within a millisecond: the timer of the idle
// cart fired before the order had come from another partition or shard, and an offer
// was due to somebody who had bought. Whatever the shards, the speeds of partitions
// and the restarts, the history of every user is the naive model's, whose time is one.
func TestHistoriesOfUsers(t *testing.T) {
	t.Parallel()
	tried := map[string]int{}
	for seed := range seeds(36) {
		r := rand.New(rand.NewPCG(seed, 21))
		y := &youngSite{spec: testSpec(t, fmt.Sprint("history-", seed), []int{1, 2, 4}[seed%3], 8), log: shoppers(r, 8)}
		got, _ := y.run(t, y.log.cutFast(t, &y.spec, r), r, 20)
		compareHistories(t, seed, y, got, tried)
		forgetBuilt(y.spec.Job)
	}
	for _, node := range []string{"cart_abandoner", "high_intent"} {
		if tried[node] < 20 && !chosen() {
			t.Errorf("%d times %s: the logs prove little", tried[node], node)
		}
	}
}

func compareHistories(t *testing.T, seed uint64, y *youngSite, got tables, tried map[string]int) {
	t.Helper()
	b, err := y.spec.buildOnce()
	check(t, err)
	d, err := event.NewDecoder(y.spec.Event)
	check(t, err)
	m := newModel(b)
	for _, rec := range y.log.arrival {
		m.take(t, d, rec)
	}
	end := int64(0)
	for p := range m.clocks {
		end = max(end, m.clock(p))
	}
	first := end - time.Hour.Milliseconds()
	for user, list := range stays(t, got) {
		at := func(t int64) string {
			i, found := slices.BinarySearchFunc(list, t, func(s stay, t int64) int { return cmp.Compare(s.at, t) })
			if found {
				return list[i].path
			} else if i == 0 {
				return ""
			}
			return list[i-1].path
		}
		for i, s := range list {
			tried[s.path[strings.LastIndexByte(s.path, '/')+1:]]++
			if i > 0 && s.at <= list[i-1].at {
				t.Errorf("seed %d: %s was in %s for %d ms", seed, user, list[i-1].path, s.at-list[i-1].at)
			}
			if want := m.at(user, s.at); s.path != want {
				t.Errorf("seed %d: %s entered %q at %d, the model says %q", seed, user, s.path, s.at, want)
			}
		}
		for when := first; when <= end; when += 5000 {
			if want := m.at(user, when); at(when) != want {
				t.Fatalf("seed %d: %s is in %q at %d, the model says %q", seed, user, at(when), when, want)
			}
		}
	}
}
