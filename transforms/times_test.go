package transforms

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/transforms/wire"
)

// youngSite is a log of visitors who log in, compare, fill a cart and go, of devices
// in the first busy shards alone. Users are of all shards, those without events, too.
type youngSite struct {
	spec  Spec
	log   *testLog
	start time.Time
	times map[identity.Place]int64
}

func newYoungSite(t *testing.T, name string, shards, busy int) *youngSite {
	y := &youngSite{spec: testSpec(t, name, shards, 8), log: &testLog{}, start: time.Date(2026, 3, 1, 10, 0, 30, 137e6, time.UTC), times: map[identity.Place]int64{}}
	y.spec.MinSample, y.spec.Activate, y.spec.Hysteresis = 1, 0, 0
	var devices []string
	for i := 0; len(devices) < shards; i++ {
		d := fmt.Sprint("d", i)
		if int(event.Home(d, 8))%shards == len(devices)%busy {
			devices = append(devices, d)
		}
	}
	users := make([]string, shards)
	for i, left := 0, shards; left > 0; i++ {
		u := fmt.Sprint("u", i)
		if k := y.spec.PersonShard(u); users[k] == "" {
			users[k], left = u, left-1
		}
	}
	n := 0
	add := func(device, user, what string, at time.Duration) {
		n++
		p, stamp := event.Home(device, 8), y.start.Add(at)
		y.times[identity.Place{Partition: p, Offset: int64(len(y.log.parts[p]))}] = stamp.UnixMilli()
		y.log.add(p, fmt.Sprintf(`{"anonymousId":%q,"userId":%q,"messageId":"%d","timestamp":%q,%s}`, device, user, n, stamp.Format("2006-01-02T15:04:05.000Z"), what))
	}
	for s := 0; s < 130; s += 10 {
		for i, d := range devices {
			add(d, users[i], `"type":"page","properties":{"path":"/compare"}`, time.Duration(s)*time.Second+time.Duration(i)*time.Millisecond)
		}
	}
	for i, d := range devices {
		add(d, users[i], `"type":"track","event":"Product Added","properties":{"path":"/compare","product_id":"1","price":99,"quantity":1}`, 131*time.Second+time.Duration(i)*time.Millisecond)
	}
	return y
}

// cut makes the batches of a source that looks every step from first to last, of the
// wall clock since the start; it says how long partitions have been quiet as sources do.
func (y *youngSite) cut(t *testing.T, first, last, step time.Duration) (out []element) {
	d, err := NewBatchDecoder(&y.spec)
	check(t, err)
	next, seen := map[int32]int64{}, map[int32]int64{}
	for id, at := int64(0), first; at <= last; id, at = id+1, at+step {
		now := y.start.Add(at).UnixMilli()
		for shard := range y.spec.Shards {
			raw := identity.RawBatch{Shard: shard, ID: id, Emitted: now * 1000}
			var records []identity.Record
			for p := int32(shard); p < y.spec.Partitions; p += int32(y.spec.Shards) {
				rg := identity.Range{Partition: p, Prev: next[p] - 1, First: next[p], Last: next[p] - 1}
				for _, rec := range y.log.parts[p][next[p]:] {
					if seen[p] < y.times[identity.Place{Partition: p, Offset: rec.Offset}] && y.times[identity.Place{Partition: p, Offset: rec.Offset}] <= now {
						records, rg.Last = append(records, rec), rec.Offset
					}
				}
				if rg.Last >= rg.First {
					seen[p] = y.times[identity.Place{Partition: p, Offset: rg.Last}]
				}
				rg.Idle = identity.ReadToEnd(5 * time.Second)
				if quiet := now - seen[p]; rg.Last < rg.First && (seen[p] == 0 || quiet >= 5000) {
					rg.Idle = max(1, quiet)
				}
				next[p] = rg.Last + 1
				raw.Ranges = append(raw.Ranges, rg)
			}
			if len(records) == 0 {
				raw.Due = raw.Emitted
			}
			raw.Chunks = [][]identity.Record{records}
			out = append(out, element{shard, sent(t, d, &raw)})
		}
	}
	return out
}

// garbage adds what nobody can read, every two seconds, to all partitions without events.
func (y *youngSite) garbage(last time.Duration) {
	for p := range y.spec.Partitions {
		if len(y.log.parts[p]) > 0 {
			continue
		}
		for at := time.Duration(0); at <= last; at += 2 * time.Second {
			y.times[identity.Place{Partition: p, Offset: int64(len(y.log.parts[p]))}] = y.start.Add(at).UnixMilli()
			y.log.add(p, "garbage")
		}
	}
}

// run applies the batches; states are written and read again before one of so many. It
// returns the rows, and for each move the wall clock (ms) at which it was decided.
func (y *youngSite) run(t *testing.T, elements []element, r *rand.Rand, every int) (out tables, when map[string]int64) {
	b, err := y.spec.buildOnce()
	check(t, err)
	g, err := NewDeviceStage(b, y.log)
	check(t, err)
	persons := NewPersonStage(b)
	ds, ps := make([]*DeviceState, y.spec.Shards), make([]*PersonState, y.spec.Shards)
	for i := range ds {
		ds[i], ps[i] = NewDeviceState(b, y.log), NewPersonState(b)
	}
	out, when = tables{}, map[string]int64{}
	audience := NewAudienceState(b)
	now := int64(0)
	to := Outputs{Records: func([]byte) {}, Rows: func(rb rows.Batch) {
		out.add(t, rb)
		eachRow(t, rb, func(row map[string]string) {
			if row["action"] == rows.Entered && row["person"] != "" {
				when[row["person"]+" "+row["node"]+" "+row["at"]] = now
			}
		})
	}}
	to.Counts = func(_ int, c []byte) {
		var told shardCounts
		check(t, json.Unmarshal(c, &told))
		check(t, audience.Apply(&told, b, to.Rows, nil))
	}
	for _, e := range elements {
		if r.IntN(every) == 0 {
			for i := range ds {
				ds[i], err = ReadDeviceState(snapshotOf(ds[i]), b, y.log)
				check(t, err)
				ps[i], err = ReadPersonState(snapshotOf(ps[i]), b)
				check(t, err)
			}
		}
		var vectors []element
		to.Vectors = func(to int, v []byte) { vectors = append(vectors, element{to, v}) }
		h, err := wire.ReadHeader(e.batch)
		check(t, err)
		now = h.Emitted / 1000
		_, _, err = g.Apply(context.Background(), ds[e.key], e.batch, to)
		check(t, err)
		for _, v := range vectors {
			_, err := persons.Apply(context.Background(), ps[v.key], v.key, v.batch, to)
			check(t, err)
		}
	}
	return out, when
}

// TestUsersOfShardsWithoutEvents: a user lives in the person shard of its id's hash,
// which had no time while no event had come to the device shard of the same number.
// On a young site with several shards a customer's idle cart was never abandoned, and
// an anonymous visitor's was. Now it is, at its exact time, live as in a replay at
// full speed, and an audience is decided with all. A stranger who wrote garbage into the
// partitions without events every few seconds held time at 1970 all the same: such a
// partition was neither idle nor had it a time.
func TestUsersOfShardsWithoutEvents(t *testing.T) {
	t.Parallel()
	for shards := 1; shards <= 4; shards++ {
		for busy := 1; busy <= shards; busy++ {
			y := newYoungSite(t, fmt.Sprintf("young-%d-%d", shards, busy), shards, busy)
			r := rand.New(rand.NewPCG(uint64(shards), uint64(busy)))
			const end = 5 * time.Minute
			if busy != 2 {
				y.garbage(end)
			}
			live, when := y.run(t, y.cut(t, 0, end, 500*time.Millisecond), r, 100)
			replay, _ := y.run(t, y.cut(t, end, end+2*time.Second, time.Second), r, 20)
			moves := live.list(rows.TableSegmentEvents, nil, "version", "decided_at", "offset", "partition")
			same(t, uint64(10*shards+busy), "moves", moves, replay.list(rows.TableSegmentEvents, nil, "version", "decided_at", "offset", "partition"))
			left := map[string]bool{}
			for key, at := range when {
				f := strings.Fields(key)
				if !strings.HasSuffix(f[1], "/cart_abandoner") {
					continue
				}
				left[f[0]] = true
				var due int64
				fmt.Sscan(f[2], &due)
				if at-due > 2000 {
					t.Errorf("%d shards, %d with events: %s left its cart at %d, which was decided %d ms later", shards, busy, f[0], due, at-due)
				}
			}
			if len(left) != shards {
				t.Errorf("%d shards, %d with events: of %d customers only these left their carts: %v", shards, busy, shards, left)
			}
			members := map[string]bool{}
			for _, row := range live[rows.TableAudience] {
				if strings.HasSuffix(row["path"], "/cart_abandoner") && row["active"] == "1" {
					members[row["members"]] = true
				}
			}
			if !members[fmt.Sprint(shards)] {
				t.Errorf("%d shards, %d with events: the audience had %v of %d", shards, busy, members, shards)
			}
		}
	}
}

// TestBorrowedTime: whose time a shard without one goes by.
func TestBorrowedTime(t *testing.T) {
	t.Parallel()
	busy, idle, blank, unread := clockOf{7, false}, clockOf{9, true}, clockOf{0, true}, clockOf{}
	for _, c := range []struct {
		others []clockOf
		want   clockOf
		ok     bool
	}{
		{[]clockOf{busy}, busy, true},
		{[]clockOf{busy, idle}, busy, true},
		{[]clockOf{idle, {5, true}}, idle, true}, // as partitions of one shard
		{[]clockOf{{8, false}, busy, {3, true}, blank}, busy, true},
		{[]clockOf{blank, blank}, clockOf{0, true}, false},
		{[]clockOf{idle, unread}, clockOf{}, false}, // its records would come behind
	} {
		for i := 0; i <= len(c.others); i++ {
			k := newClocks(len(c.others) + 1)
			for j, o := range slices.Insert(slices.Clone(c.others), i, blank) {
				k.hear(j, j == i, o.time, o.idle, 0)
			}
			if got, ok := k.borrowed(); got != c.want || ok != c.ok {
				t.Errorf("%v, its own is number %d: %v, %v", c.others, i, got, ok)
			}
			for _, own := range []clockOf{busy, unread} { // it has time, or may have
				k.hear(i, true, own.time, own.idle, 0)
				if got, ok := k.borrowed(); ok {
					t.Errorf("%v with %v of its own: %v", c.others, own, got)
				}
			}
		}
	}
}

// TestWhoWaits: the decision of an event of now waits for nobody, and nobody waits for
// a shard that stands still.
func TestWhoWaits(t *testing.T) {
	t.Parallel()
	const now = 1_700_000_000_000
	c, s := newClocks(2), sure{}
	hear := func(shard int, watermark int64, idle bool, wall int64) {
		c.hear(shard, shard == 0, watermark, idle, wall*1000)
		s.pass(&c, wall*1000)
	}
	waits := func(at int64) bool { return s.waits(&session.Vector{At: at}) }
	hear(0, now, false, now)
	if s.time != 0 || !waits(now) {
		t.Error("time began before the other shard said a word")
	}
	hear(1, now-4000, false, now)
	if s.time != now-4000 || waits(now) {
		t.Errorf("of now: the time is %d, and an event waits: %v", s.time-now, waits(now))
	}
	old := int64(now - 3_600_000)
	if !waits(old) {
		t.Error("what is an hour old does not wait")
	}
	for i := int64(1); i <= 40; i++ {
		hear(0, now+i*1000, false, now+i*1000)
		if still := i >= 30; s.time > now-4000 != still {
			t.Fatalf("a shard that stands still for %d s, and the time is %d", i, s.time-now)
		}
		if waits(now + i*1000) {
			t.Fatalf("an event of now waits for a shard that stands still for %d s", i)
		}
	}
	c, s = newClocks(1), sure{}
	hear(0, old, false, now)
	if s.time != 0 {
		t.Error("a replay's time passes at once")
	}
	hear(0, old+1000, false, now+2500) // of a gap 1 s counts
	hear(0, old+2000, false, now+3500)
	if s.time != old {
		t.Errorf("after 2 s it is %d", s.time-old)
	}
	if hear(0, old+3000, true, now+3600); s.time != old+3000 {
		t.Errorf("with nothing more to come it is %d", s.time-old)
	}
}

// TestNothingWaitsForEver: the newest events of a partition whose records nobody received
// are ahead of its clock, which two devices must reach. They waited for as long as it took
// the partition to count as idle, of an hour an hour; now they wait for 30 s at most.
func TestNothingWaitsForEver(t *testing.T) {
	t.Parallel()
	const now, old = 1_700_000_000_000, 1_700_000_000_000 - 86_400_000
	c, s, q := newClocks(1), sure{}, newWaiting()
	step := func(i int64, by event.Semantics) []waiter {
		c.hear(0, true, old, false, (now+i*1000)*1000) // its only partition is busy
		s.pass(&c, (now+i*1000)*1000)
		return q.passed(s.upTo(by), true)
	}
	step(0, 7)
	step(1, 7)
	step(2, 7)
	if turn := q.add(&wire.Vector{Vector: session.Vector{User: "u", At: old + 60_000}}, 0, &s, nil); len(turn) > 0 {
		t.Fatal("what is ahead of the clock of an old log waits for nobody")
	}
	for i := int64(3); i < 32; i++ {
		if turn := step(i, 7); len(turn) > 0 {
			t.Fatalf("it waited for %d s", i-2)
		}
	}
	if turn := step(33, 6); len(turn) > 0 {
		t.Error("it has its turn in a batch of an older program")
	}
	if turn := step(33, 7); len(turn) != 1 || q.n > 0 {
		t.Errorf("%d have their turn, %d wait", len(turn), q.n)
	}
}

// TestTooManyWait: what waits is bounded, and the oldest goes first.
func TestTooManyWait(t *testing.T) {
	t.Parallel()
	q := newWaiting()
	for i := range maxWaiting + 1 {
		q.put(waiter{Vector: wire.Vector{Partition: int32(i % 3), Vector: session.Vector{User: fmt.Sprint(i % 7)}}, due: int64(i)})
	}
	turn := inOrder(q.bound(nil))
	if n := len(turn); n < maxWaiting/2 || q.n+n != maxWaiting+1 || turn[0].due != 0 || turn[n-1].due != int64(n-1) {
		t.Errorf("%d go, up to %d, and %d stay", n, turn[n-1].due, q.n)
	}
}
