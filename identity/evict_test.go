package identity

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// limited is a bench with a limit, and whom it let go.
type limited struct {
	*bench
	limits Limits
	gone   []string
}

func newLimited(most int64) *limited {
	l := &limited{bench: lateBench(), limits: Limits{Devices: most}}
	l.out.Evicted = func(d string, _ *session.Profile, c Class, t int64, at Place) {
		l.gone = append(l.gone, fmt.Sprint(d, " ", Classes[c], " ", t, " ", at.Offset))
	}
	return l
}

func (l *limited) take(t *testing.T, e event.Event) {
	t.Helper()
	if e.Offset, l.offset = l.offset, l.offset+1; e.ID == 0 {
		e.ID = uint64(e.Offset + 1)
	}
	l.vectors = nil
	l.out.Reset()
	b := Batch{Ranges: []Range{{Prev: e.Offset - 1, First: e.Offset, Last: e.Offset}}, Events: []event.Event{received(e)}, Limits: l.limits}
	if err := l.Apply(&b, &l.out); err != nil {
		t.Fatal(err)
	}
}

// TestFlood: 200 requests of a stranger with the public key made 500,000 devices, and 68
// more ended the job. Now a flood drives out itself: who has looked at a second page or
// has proven who they are stays, the state does not grow, and a restart in the middle
// decides the same.
func TestFlood(t *testing.T) {
	t.Parallel()
	const most, real = 100, 40
	run := func(reload bool) *limited {
		l := newLimited(most)
		for i := range real {
			e := event.Event{Device: fmt.Sprint("real", i), Time: noon + int64(i), Kind: event.KindPage}
			if l.take(t, e); i%2 == 0 {
				l.take(t, e)
			} else {
				e.Kind, e.User, e.Trust = event.KindIdentify, fmt.Sprint("u", i), event.Server
				l.take(t, e)
			}
		}
		for i := range 5000 {
			l.take(t, event.Event{Device: fmt.Sprint("flood", i), Time: noon + 1000 + int64(i)*50, Kind: event.KindPage})
			if l.Devices() > most {
				t.Fatalf("%d devices of %d", l.Devices(), most)
			}
			if reload && i%700 == 0 {
				l.reload(t)
			}
		}
		return l
	}
	l, again := run(false), run(true)
	for i := range real {
		if id := fmt.Sprint("real", i); l.devices[id] == nil {
			t.Errorf("%s was let go", id)
		}
	}
	if n := len(l.gone); n != real+5000-most || !slices.Equal(l.gone, again.gone) {
		t.Errorf("%d devices were let go, %d after restarts; is it the same ones?", n, len(again.gone))
	}
	q := l.Partition(0)
	if n := len(q.gone[goneShort].known); n != learnedPerDevice*most || len(q.agenda) != most || len(l.devices) != most {
		t.Errorf("%d ids are kept, %d devices wait", n, len(q.agenda))
	}
}

// TestWhoGoes: of one event first, then the longest silent, users last; of equals by name.
func TestWhoGoes(t *testing.T) {
	t.Parallel()
	l := newLimited(4)
	at := func(d string, minute int64, user string) {
		l.take(t, event.Event{Device: d, Time: noon + minute*60_000, Kind: event.KindPage, User: user, Trust: event.Server})
	}
	at("user", 0, "ann")
	at("twice", 1, "")
	at("twice", 2, "")
	at("once", 3, "")
	at("younger", 4, "")
	at("a", 20, "") // instead of once, of which nothing can come late any more
	at("b", 20, "") // younger
	at("c", 20, "") // a: equal to b but for its name
	at("b", 21, "")
	at("c", 21, "")
	at("d", 22, "") // twice: the longest silent
	at("d", 23, "")
	at("user2", 24, "bob")  // b
	at("user2", 25, "bob")  //
	at("user3", 26, "cleo") // c
	at("user3", 27, "cleo")
	at("user4", 28, "dan") // d
	if len(l.vectors) != 1 {
		t.Fatalf("vectors %+v", l.vectors)
	}
	at("user5", 29, "eve") // user, since there is nobody else
	if v := l.vectors[0]; !v.Evicted || !v.Retract || v.User != "ann" || v.Device != "user" || len(l.vectors) != 2 {
		t.Errorf("the user's vector is not taken back: %+v", l.vectors)
	}
	var who []string
	for _, g := range l.gone {
		var d, class string
		if _, err := fmt.Sscan(g, &d, &class); err != nil {
			t.Fatal(err)
		}
		who = append(who, d+" "+class)
	}
	if want := []string{"once single_stale", "younger single_stale", "a single", "twice silent", "b silent", "c silent", "d silent", "user user"}; !slices.Equal(who, want) {
		t.Errorf("let go %v, want %v", who, want)
	}
}

// TestDuplicatesOutliveDevices: what is sent again of a device that was let go counted
// twice. Its ids stay as long as they may come late, over restarts; in a flood that leaves
// no room for them, what may be one is refused, of new devices alone.
func TestDuplicatesOutliveDevices(t *testing.T) {
	t.Parallel()
	l := newLimited(2)
	const min = 60_000
	order := event.Event{Device: "shopper", ID: 1, Time: noon, Kind: event.KindOrder}
	view := event.Event{Device: "shopper", ID: 2, Time: noon + min, Kind: event.KindPage}
	l.take(t, event.Event{Device: "known", ID: 3, Time: noon, Kind: event.KindPage})
	l.take(t, event.Event{Device: "known", ID: 4, Time: noon, Kind: event.KindPage})
	l.take(t, order)
	l.take(t, event.Event{Device: "x", Time: noon + 2*min, Kind: event.KindPage})
	if len(l.gone) != 1 {
		t.Fatalf("let go %v", l.gone)
	}
	l.reload(t)
	q := func() *Partition { return l.Partition(0) }
	l.take(t, order)
	if q().Counts.Duplicate != 1 || l.devices["shopper"] != nil {
		t.Fatalf("%+v", q().Counts)
	}
	l.take(t, view) // somebody new
	l.take(t, order)
	if q().Counts.Duplicate != 2 || l.devices["shopper"] == nil {
		t.Fatalf("%+v", q().Counts)
	}
	for i := range 20 {
		l.take(t, event.Event{Device: fmt.Sprint("flood", i), Time: noon + 3*min + int64(i), Kind: event.KindPage})
	}
	l.reload(t)
	dead := q().Counts.Dead
	if l.take(t, view); q().Counts.Dead != dead+1 || l.out.Dead[0].Reason != event.Late {
		t.Errorf("an event that may have come before: %+v", q().Counts)
	}
	if l.take(t, event.Event{Device: "known", Time: noon + min, Kind: event.KindClick}); q().Counts.Dead != dead+1 {
		t.Error("a device that was never let go is refused")
	}
	if l.take(t, event.Event{Device: "new", Time: noon + 4*min, Kind: event.KindPage}); q().Counts.Dead != dead+1 || l.devices["new"] == nil {
		t.Error("a new visitor is refused")
	}
	if l.take(t, order); q().Counts.Duplicate != 3 {
		t.Errorf("an order that was kept for long: %+v", q().Counts)
	}
	l.take(t, event.Event{Device: "new", Time: noon + 25*60*min, Kind: event.KindPage})
	l.take(t, event.Event{Device: "new", Time: noon + 25*60*min, Kind: event.KindPage})
	if n := len(q().gone[goneShort].known) + len(q().gone[goneLong].known); n != 0 {
		t.Errorf("%d ids are kept that would be late", n)
	}
}

// TestSingleEventRetention: devices of one event go earlier than the others, at an offset.
func TestSingleEventRetention(t *testing.T) {
	t.Parallel()
	l := newLimited(0)
	l.limits.Single = session.DayMS
	take := func(d string, at int64) { l.take(t, event.Event{Device: d, Time: at, Kind: event.KindPage}) }
	take("once", noon)
	take("twice", noon)
	take("twice", noon+1)
	take("x", noon+session.DayMS)
	take("y", noon+session.DayMS)
	if l.devices["once"] != nil || l.devices["twice"] == nil || len(l.gone) != 1 {
		t.Errorf("%v", l.gone)
	}
}

// TestLowerLimit: another limit holds from the first record of each partition on.
func TestLowerLimit(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	l := newLimited(0)
	for i := range 1000 {
		l.take(t, event.Event{Device: fmt.Sprint("d", r.IntN(500)), Time: noon + int64(i), Kind: event.KindPage})
	}
	l.limits.Devices = 10
	l.take(t, event.Event{Device: "d1", Time: noon + 1000, Kind: event.KindClick})
	if l.Devices() > 10 {
		t.Errorf("%d devices", l.Devices())
	}
}
