package identity

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// narrow is the obviously right version of what a device's bound makes of its events:
// it holds the times of all of them and looks through them each time.
type narrow struct {
	most         int
	clock        int64
	kept, ids    []int64 // times of what waits for late events, and of what may come late
	folded, lost int64   // before: nothing is taken any more, of most kinds and of the others
	came         map[uint64]event.Event
}

// verdict is what becomes of an event: good, known (none of a session), duplicate, or a
// reason for a dead letter.
func (n *narrow) verdict(e *event.Event, patient bool) string {
	age, short, long := n.clock-e.Time, int64(600_000), int64(session.DayMS)
	_, again := n.came[e.ID]
	switch {
	case n.clock > 0 && (patient && age > long || !patient && age > short):
		return string(event.Late)
	case again && (e.Time >= n.folded || patient && e.Time >= n.lost):
		return "duplicate"
	case !patient && e.Time < n.folded, patient && e.Time < n.lost:
		return string(event.TooMany)
	}
	late := n.clock > 0 && age > short || e.Time < n.folded
	n.clock = max(n.clock, e.Time)
	n.came[e.ID] = *e
	if patient {
		n.ids = n.cut(append(n.ids, e.Time), n.clock-long, &n.lost)
	}
	if late {
		return "known"
	}
	n.kept = n.cut(append(n.kept, e.Time), n.clock-short, &n.folded)
	return "good"
}

// cut leaves out what is too old, and of more than most an eighth and what is too many.
func (n *narrow) cut(times []int64, horizon int64, before *int64) []int64 {
	times = slices.DeleteFunc(times, func(t int64) bool { return t < horizon })
	if len(times) > n.most {
		slices.Sort(times)
		*before = max(*before, times[len(times)-n.most+n.most/8-1]+1)
		times = slices.DeleteFunc(times, func(t int64) bool { return t < *before })
	}
	return times
}

// TestDeviceLimit: of more events than a device may keep the oldest fold early, and
// from then on only what is older than these is a dead letter, of reason device_limit;
// what is newer counts. However batches are cut, and whenever a job starts again, the
// same is decided, and what counts is in the state as if it had been folded in order.
func TestDeviceLimit(t *testing.T) {
	t.Parallel()
	const most = 40
	for seed := range uint64(60) {
		events, patient := flood(rand.New(rand.NewPCG(seed, 2)))
		for i := range events {
			events[i] = received(events[i])
		}
		n := narrow{most: most, came: map[uint64]event.Event{}}
		dead := map[int64]event.Reason{}
		var good []event.Event
		for i := range events {
			v := n.verdict(&events[i], patient(&events[i]))
			switch v {
			case "good":
				good = append(good, events[i])
			case string(event.Late), string(event.TooMany):
				dead[events[i].Offset] = event.Reason(v)
			}
		}
		for cut := range 3 {
			r := rand.New(rand.NewPCG(seed, uint64(cut)))
			b := lateBench()
			b.p.MaxPending = most
			got := map[int64]event.Reason{}
			for from := 0; from < len(events); {
				to := min(len(events), from+1+r.IntN(1+60*cut))
				b.out.Reset()
				rg := Range{Prev: int64(from) - 1, First: int64(from), Last: int64(to) - 1}
				if err := b.Apply(&Batch{Ranges: []Range{rg}, Events: slices.Clone(events[from:to])}, &b.out); err != nil {
					t.Fatal(err)
				}
				for _, d := range b.out.Dead {
					got[d.Offset] = d.Reason
				}
				if from = to; r.IntN(8) == 0 {
					b.reload(t)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(dead) {
				t.Fatalf("seed %d, cut %d: dead letters\n%v\nwant\n%v", seed, cut, got, dead)
			}
			if c := b.Partition(0).Counts; int(c.Dead) != len(dead) || c.Read != c.Good+c.Duplicate+c.Dead {
				t.Fatalf("seed %d, cut %d: %+v, %d dead letters", seed, cut, c, len(dead))
			}
			slices.SortStableFunc(good, func(a, b event.Event) int { return cmp.Compare(a.Time, b.Time) })
			q := &session.Profile{}
			for i := range good {
				q.Add(&good[i], b.session)
			}
			head, all := b.devices["d"].State(), q.State()
			if head.Fold == nil || !head.Fold.Same(all.Fold) || head.Context != all.Context {
				t.Fatalf("seed %d, cut %d: %+v\nin order it is\n%+v", seed, cut, head.Fold, all.Fold)
			}
		}
	}
}

// flood is what one device sends without a log-in: in order, in reverse order, in none,
// some of it late, some of it again.
func flood(r *rand.Rand) (events []event.Event, patient func(*event.Event) bool) {
	p := lateBench().p.Session
	at := int64(noon)
	for i := range 500 {
		e := pageView("d", r.IntN(20), at)
		switch r.IntN(20) {
		case 0:
			e.Kind = event.KindRefund
		case 1:
			e.Kind, e.Time = event.KindRefund, at-r.Int64N(session.DayMS)
		case 2, 3, 4:
			e.Time = at - r.Int64N(900_000)
		case 5, 6:
			if i > 0 {
				e = events[i-1-r.IntN(min(i, 80))]
			}
		}
		switch (i / 100) % 3 {
		case 0:
			at += r.Int64N(3000)
		case 1:
			at -= r.Int64N(2000)
		case 2:
			at += r.Int64N(60_000)
		}
		if e.Offset = int64(i); e.ID == 0 {
			e.ID = uint64(i) + 1
		}
		events = append(events, e)
	}
	return events, func(e *event.Event) bool { return p.Patient(e.Kind) }
}

// TestEpochsOfADevice: a device that logs in and out in turn once kept each of the
// epochs for as long as late events may come; now it keeps the newest ones. The rows of
// all sessions are made, once, and a user has what was proven to be the user's.
func TestEpochsOfADevice(t *testing.T) {
	t.Parallel()
	for _, trust := range []event.Trust{event.Server, event.Public} {
		b := newBench(0)
		closed := map[int64]int{}
		for i := range 400 {
			e := event.Event{Device: "d", User: fmt.Sprintf("u%d", i%6), Time: noon + int64(i)*1000, Kind: event.KindIdentify, Trust: trust}
			if i%2 == 1 {
				e.User, e.Kind = "", event.KindReset
			}
			b.take(t, e)
			for _, row := range b.out.Sessions {
				closed[row.Epoch]++
			}
			if n := len(b.past["d"]); n > maxEpochs || len(b.parts[0].agenda) != n+1 {
				t.Fatalf("%d earlier epochs, %d in the agenda", n, len(b.parts[0].agenda))
			}
			if i%37 == 0 {
				b.reload(t)
			}
		}
		b.take(t, event.Event{Device: "other", Time: noon + 40*3_600_000, Kind: event.KindPage})
		for _, row := range b.out.Sessions {
			closed[row.Epoch]++
		}
		if len(closed) != 200 {
			t.Errorf("%v: %d epochs have a row of their session, of 200", trust, len(closed))
		}
		for epoch, n := range closed {
			if n != 1 {
				t.Errorf("%v: the session of epoch %d has %d rows", trust, epoch, n)
			}
		}
	}
}
