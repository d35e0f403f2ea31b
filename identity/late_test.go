package identity

import (
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// lateBench is a shard that waits for orders for a day.
func lateBench() *bench {
	b := newBench(0)
	b.p.Session.Long, b.p.Session.Waited = session.DayMS, session.Patient()
	return b
}

func (b *bench) order(t *testing.T, id uint64, at int64) {
	t.Helper()
	b.take(t, event.Event{Device: "d", ID: id, Time: at, Kind: event.KindOrder, X: 50})
}

// TestLateOrder: an order that a phone's queue sent 15 minutes late, with a right
// sentAt, was a dead letter, and its revenue was lost. It empties the cart as of
// its own time and is no event of a session: a day later it is still known as a
// duplicate, in the next epoch of the device, too, and after a restart.
func TestLateOrder(t *testing.T) {
	t.Parallel()
	b := lateBench()
	add := func(id uint64, at int64) {
		b.take(t, event.Event{Device: "d", ID: id, Time: at, Kind: event.KindCartAdd, X: 10, Y: 1, Flags: event.FlagPriced})
	}
	const min = 60_000
	add(1, noon)
	add(2, noon+1*min)
	add(3, noon+20*min) // after the order that is still on its way
	b.order(t, 4, noon+5*min)
	d := b.devices["d"]
	if c := d.Cart(); c != (session.Cart{Items: 1, Value: 10, Changed: noon + 20*min}) {
		t.Errorf("the cart is %+v", c)
	}
	if n, revenue, _ := d.Orders(); n != 1 || revenue != 50 {
		t.Errorf("%d orders of %v", n, revenue)
	}
	if f := d.State().Fold; f.Events != 3 || f.Orders != 0 || f.Start != noon || d.Last != noon+20*min {
		t.Errorf("the session is %+v", f)
	}
	b.order(t, 5, noon-3*60*min) // opens no session of its own, and bridges none
	if f := d.State().Fold; f.Start != noon || len(b.past) != 0 {
		t.Errorf("the session is %+v", f)
	}
	b.take(t, identify("a", noon+21*min))
	b.take(t, identify("b", noon+22*min)) // another epoch
	b.reload(t)
	good := b.parts[0].Counts.Good
	b.order(t, 4, noon+5*min)
	b.order(t, 5, noon-3*60*min)
	if c := b.parts[0].Counts; c.Good != good || c.Duplicate != 2 {
		t.Errorf("%+v: the orders came again", c)
	}
	b.order(t, 6, noon-2*24*60*min)
	letters := slices.Clone(b.out.Dead)
	b.take(t, event.Event{Device: "d", ID: 7, Time: noon - 7*365*24*60*min, Kind: event.KindPage})
	letters = append(letters, b.out.Dead...)
	if len(letters) != 2 || !strings.HasPrefix(letters[0].Detail, "2 days older than the newest event, of 1 day allowed") ||
		!strings.HasPrefix(letters[1].Detail, "7 years older than the newest event, of 10 minutes allowed") {
		t.Errorf("dead letters: %+v", letters)
	}
}

// TestLateOrderAlone: who is known by a late order alone is a person without a session.
func TestLateOrderAlone(t *testing.T) {
	t.Parallel()
	b := lateBench()
	b.take(t, event.Event{Device: "e", ID: 1, Time: noon, Kind: event.KindPage})
	b.order(t, 2, noon-60*60_000)
	d := b.devices["d"]
	if d == nil || d.State().Fold != nil || d.Last != noon-60*60_000 || d.End(b.p.Session.Gap) > noon {
		t.Errorf("the device is %+v", d)
	}
}

// TestSpelled: of an order of 25 hours one read "1 day older than the newest event, of 1
// day allowed".
func TestSpelled(t *testing.T) {
	t.Parallel()
	const day = 24 * 3_600_000
	for age, want := range map[int64]string{day + 3_600_000: "1.042 days", day + 60_000: "1.001 days", day + 1: "86400001 ms", 2 * day: "2 days"} {
		if got, most := spelled(age, day); got != want || most == got {
			t.Errorf("%d ms are %s of %s, want %s", age, got, most, want)
		}
	}
}

// TestLateClaimNamesNoPastSession: an order that came late claimed a user, after the
// device's session was over. Whether the session's row named the user depended on
// whether a batch had ended between the two, so that a job that was killed said
// otherwise than one that was not. A claim that is too old to wait for a proof was as
// bad, and so is a link.
func TestLateClaimNamesNoPastSession(t *testing.T) {
	t.Parallel()
	for _, trust := range []event.Trust{event.Public, event.Server} {
		for _, whole := range []bool{false, true} {
			b := lateBench()
			all := []event.Event{
				received(event.Event{Device: "d", ID: 1, Time: noon, Kind: event.KindPage}),
				received(event.Event{Device: "e", ID: 2, Time: noon + 31*60_000, Kind: event.KindPage}),
				received(event.Event{Device: "d", ID: 3, User: "u", Time: noon + 60_000, Kind: event.KindOrder, X: 50, Trust: trust}),
			}
			var rows []SessionRow
			apply := func(events []event.Event) {
				b.out.Reset()
				first, last := events[0].Offset, events[len(events)-1].Offset
				if err := b.Apply(&Batch{Ranges: []Range{{Prev: first - 1, First: first, Last: last}}, Events: events}, &b.out); err != nil {
					t.Fatal(err)
				}
				rows = append(rows, b.out.Sessions...)
			}
			for i := range all {
				all[i].Offset = int64(i)
			}
			if whole {
				apply(all)
			} else {
				for i := range all {
					apply(all[i : i+1])
				}
			}
			rows = slices.DeleteFunc(rows, func(r SessionRow) bool { return r.Device != "d" })
			if n := len(rows); n != 1 || rows[0].Person != "d:d" || rows[0].Claimed != "" || rows[0].Open {
				t.Errorf("%v, in one batch: %v: the rows are %+v", trust, whole, rows)
			}
		}
	}
}
