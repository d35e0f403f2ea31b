package identity

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// bench is a shard of one partition with what it hands out.
type bench struct {
	*Shard
	p       Params
	out     Output
	vectors []session.Vector
	opened  []string
	offset  int64
}

func newBench(maxUsers int) *bench {
	b := &bench{p: Params{Retention: 30 * session.DayMS, MaxUsers: maxUsers,
		Session: session.Params{Gap: 1_800_000, Lateness: 600_000, DwellCap: 30_000, HalfLives: signal.HalfLives{Live: 600_000, Long: 7_200_000}, Weigher: signal.NewWeigher(nil)}}}
	b.Shard = NewShard(&b.p)
	b.out = Output{Before: func(*session.Profile, int64) {}, Gone: func(string, *session.Profile, int64) {}, Erased: func(string, *session.Profile, int64) {},
		Passed: func(int64) {}, Opened: func(d string) { b.opened = append(b.opened, d) },
		Vector: func(v *session.Vector, _ *event.Event) { b.vectors = append(b.vectors, *v) }}
	return b
}

// take applies one event in a batch of its own and returns what it made.
func (b *bench) take(t *testing.T, e event.Event) []session.Vector {
	t.Helper()
	e.Offset = b.offset
	if e.ID == 0 {
		e.ID = uint64(b.offset + 1)
	}
	b.offset++
	b.vectors = nil
	e = received(e)
	b.out.Reset()
	if err := b.Apply(&Batch{Ranges: []Range{{Prev: e.Offset - 1, First: e.Offset, Last: e.Offset}}, Events: []event.Event{e}}, &b.out); err != nil {
		t.Fatal(err)
	}
	return b.vectors
}

// received is the event as a collector gives it that received it at once.
func received(e event.Event) event.Event {
	if !e.Kind.Control() {
		e.Receipt = e.Time
	}
	return e
}

// reload reads the shard back from its snapshot.
func (b *bench) reload(t *testing.T) {
	t.Helper()
	var w codec.Writer
	b.AppendTo(&w)
	s, err := ReadShard(&codec.Reader{B: w.B}, &b.p, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.Shard = s
}

const noon = 20_000*session.DayMS + session.DayMS/2

func identify(user string, at int64) event.Event {
	return event.Event{Device: "d", User: user, Kind: event.KindIdentify, Time: at}
}

// TestDayOfUsers: so many users of a day are linked, by the data clock and not by
// the events' own time; who was linked that day may come back; the others' events
// are in an epoch that is nobody's, and the next day begins anew. Also when the
// shard is read from its snapshot between any two events.
func TestDayOfUsers(t *testing.T) {
	t.Parallel()
	for _, reload := range []bool{false, true} {
		b := newBench(2)
		for i, c := range []struct {
			user, want string // who is linked then
			at         int64
			excess     int
		}{
			{"a", "a", noon, 0}, {"b", "b", noon, 0}, {"a", "a", noon, 0}, {"c", "", noon, 3}, {"c", "", noon, 0}, {"d", "", noon, 4}, {"", "", noon, 0},
			{"b", "b", noon, 0}, {"c", "", noon, 0}, {"a", "a", noon, 0},
			{"x", "x", noon + session.DayMS, 0}, {"", "x", noon + session.DayMS/2 + 1, 0}, {"y", "y", noon + session.DayMS - 1, 0}, {"z", "", noon + session.DayMS, 3},
		} {
			before := b.devices["d"]
			b.take(t, identify(c.user, c.at))
			d := b.devices["d"]
			if d.userID() != c.want {
				t.Fatalf("event %d: the device is %q's, not %q's", i, d.userID(), c.want)
			}
			if before != nil && before.isShared() && c.want != "" && d.epoch != b.offset-1 {
				t.Errorf("event %d: %s was linked to what others did", i, c.want)
			}
			switch n := len(b.out.Excess); {
			case c.excess == 0 && n > 0, c.excess > 0 && (n != 1 || b.out.Excess[0].Count != c.excess || b.out.Excess[0].Subject != "d:d" || b.out.Excess[0].Start != c.at/session.DayMS*session.DayMS):
				t.Errorf("event %d: excess %+v, not %d", i, b.out.Excess, c.excess)
			}
			if reload {
				b.reload(t)
			}
		}
	}
}

// TestReset: a log-out is where it stands in the log, whatever its clock; one that
// comes again behind a log-in changes nothing, also after a reload; where nobody
// is logged in it says nothing.
func TestReset(t *testing.T) {
	t.Parallel()
	b := newBench(5)
	reset := event.Event{Device: "d", Kind: event.KindReset, ID: 77}
	b.take(t, event.Event{Device: "other", Kind: event.KindPage, Time: noon})
	b.take(t, reset) // before anything is known of the device
	b.take(t, identify("a", noon))
	b.reload(t)
	b.take(t, reset)
	if d := b.devices["d"]; d.userID() != "a" || b.Partition(0).Counts.Duplicate != 1 || len(b.opened) != 0 {
		t.Fatalf("a reset that came twice: %q, %+v, %v", d.userID(), b.Partition(0).Counts, b.opened)
	}
	b.take(t, event.Event{Device: "d", Kind: event.KindReset, ID: 78})
	if d := b.devices["d"]; d.userID() != "" || d.epoch != b.offset-1 || len(b.opened) != 1 {
		t.Fatalf("after the reset: %q, epoch %d, %v", d.userID(), d.epoch, b.opened)
	}
	b.take(t, event.Event{Device: "d", Kind: event.KindReset, ID: 79})
	if d := b.devices["d"]; d.epoch != b.offset-2 || len(b.opened) != 1 {
		t.Errorf("a reset where nobody is logged in opened epoch %d", d.epoch)
	}
	b.reload(t)
	// Without an event the epoch lives from its opening on.
	b.take(t, event.Event{Device: "other", Kind: event.KindPage, Time: noon + b.p.Retention - 1})
	if b.devices["d"] == nil {
		t.Error("the epoch was forgotten too early")
	}
	b.take(t, event.Event{Device: "other", Kind: event.KindPage, Time: noon + b.p.Retention})
	if b.devices["d"] != nil {
		t.Error("the epoch was not forgotten")
	}
	for range 3 * maxResets {
		b.take(t, event.Event{Device: "e", Kind: event.KindReset})
	}
	if n := len(b.devices["e"].remembered().resets); n != maxResets {
		t.Errorf("%d resets are remembered", n)
	}
}

// TestUnlink: a retraction goes to the user whatever is known here, and the
// present epoch is its own person again with its history and its number.
func TestUnlink(t *testing.T) {
	t.Parallel()
	b := newBench(5)
	unlink := func(user string) []session.Vector {
		return b.take(t, event.Event{Device: "d", User: user, Kind: event.KindUnlink})
	}
	if vs := unlink("a"); len(vs) != 1 || !vs[0].Retract || vs[0].User != "a" || vs[0].Version.Offset != 0 {
		t.Errorf("of an unknown device: %+v", vs)
	}
	b.take(t, event.Event{Device: "d", Kind: event.KindPage, Time: noon})
	b.take(t, identify("a", noon+1))
	b.reload(t)
	if vs := unlink("b"); len(vs) != 1 || vs[0].User != "b" || b.devices["d"].userID() != "a" {
		t.Errorf("from another user: %+v", vs)
	}
	vs := unlink("a")
	if len(vs) != 2 || !vs[0].Retract || vs[1].User != "" || !vs[1].Freed || vs[1].Last != noon+1 || vs[1].Epoch != 0 || vs[1].At != noon+1 || vs[0].Version != vs[1].Version {
		t.Errorf("from its user: %+v", vs)
	}
	if got := b.usersOf(&event.Event{Device: "d"}); fmt.Sprint(got) != "[a b]" {
		t.Errorf("a deletion would tell %v", got)
	}
}

// TestAliasRefused: what would merge two users is a dead letter that says what to
// do, names nobody else, and leaves no trace but its time.
func TestAliasRefused(t *testing.T) {
	t.Parallel()
	b := newBench(1)
	b.take(t, event.Event{Device: "d", Kind: event.KindPage, Time: noon})
	alias := func(device, user string, at int64) *DeadLetter {
		b.take(t, event.Event{Device: device, User: user, Kind: event.KindAlias, Time: at, Raw: []byte("raw")})
		if len(b.out.Dead) == 0 {
			return nil
		}
		return &b.out.Dead[0]
	}
	if l := alias("ann", "bob", noon+5); l == nil || l.Reason != event.Identity || string(l.Raw) != "raw" || b.devices["ann"] != nil || b.Partition(0).Clock != noon+5 {
		t.Errorf("of a user's id: %+v", l)
	}
	if l := alias("d", "ann", noon+6); l != nil || b.devices["d"].userID() != "ann" {
		t.Errorf("of a visitor: %+v", l)
	}
	if l := alias("d", "ann", noon+7); l != nil {
		t.Errorf("again: %+v", l)
	}
	if l := alias("d", "bob", noon+8); l == nil || l.Reason != event.Identity || bytes.Contains([]byte(l.Detail), []byte("ann")) {
		t.Errorf("of ann's device: %+v", l)
	}
	b.take(t, event.Event{Device: "d", Kind: event.KindReset})
	if l := alias("d", "bob", noon+9); l == nil || l.Reason != event.Identity {
		t.Errorf("beyond the limit of the day: %+v", l)
	}
	b.take(t, identify("bob", noon+10)) // is refused, and makes the epoch a shared one
	if l := alias("d", "ann", noon+11); l == nil || l.Reason != event.Identity {
		t.Errorf("of what many did: %+v", l)
	}
	c := b.Partition(0).Counts
	if c.Dead != 4 || c.Read != c.Good+c.Dead {
		t.Errorf("%+v", c)
	}
}

// TestSnapshotVersions: a snapshot of the version before is read, one of a newer
// version is refused.
func TestSnapshotVersions(t *testing.T) {
	t.Parallel()
	b := newBench(5)
	b.take(t, identify("a", noon))
	var w codec.Writer
	b.AppendTo(&w)
	w.B[0] = schemaVersion + 1
	var newer *codec.VersionError
	if _, err := ReadShard(&codec.Reader{B: w.B}, &b.p, 0); !errors.As(err, &newer) {
		t.Errorf("of a newer version: %v", err)
	}
	// What version 2 wrote: a device without the members that are new.
	var old codec.Writer
	d := b.devices["d"]
	old.B = append(old.B, 2)
	old.Uint(0)
	old.Int(b.settled)
	old.Uint(1)
	for _, v := range []int64{0, 0, noon, noon} {
		old.Int(v)
	}
	old.Bool(false)
	for range 4 {
		old.Uint(0)
	}
	old.Uint(1)
	old.String(d.id)
	old.String("a")
	for _, v := range []int64{d.epoch, d.offset, d.queued} {
		old.Int(v)
	}
	for range 3 {
		old.Bool(false)
	}
	for range 2 { // sums
		old.Float(0)
		old.Int(0)
	}
	old.Int(noon)
	old.Uint(0)
	old.Float(3) // a cart of three items
	old.Float(30)
	old.Int(noon)
	for range 2 { // screen
		old.Uint(0)
	}
	for range 3 { // device, system, network
		old.Byte(1)
	}
	old.Bool(false) // no bot
	old.Bool(false) // no open session
	old.Uint(0)     // no dirty sessions
	old.Uint(0)     // no former users
	s, err := ReadShard(&codec.Reader{B: old.B}, &b.p, 0)
	if err != nil || s.devices["d"].userID() != "a" || s.devices["d"].Last != noon || s.devices["d"].Cart() != (session.Cart{Items: 3, Value: 30, Changed: noon}) {
		t.Errorf("of version 2: %v", err)
	}
}
