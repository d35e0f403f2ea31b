package erasure

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/session"
)

// TestSharedDevices: on a tablet that Ann and Ben share, Ann's export had Ben's order, and
// what only somebody who claimed to be Ben had done. A user's export is the sessions of the
// user's own epochs, and of nobody's epochs on devices that nobody else was on. Random
// devices, compared with what the rows say when they are looked at one by one.
func TestSharedDevices(t *testing.T) {
	t.Parallel()
	r := open(t, "shared")
	random := rand.New(rand.NewPCG(13, 2))
	var all []rows.Session
	owners := map[string]string{} // of an epoch
	for d := range 60 {
		device := fmt.Sprintf("tablet%d", d)
		for epoch := range int64(1 + random.IntN(4)) {
			owner := []string{"", "", "ann", "ann", "ben"}[random.IntN(5)]
			if d%3 == 0 && owner == "ben" { // a device of her own
				owner = "ann"
			}
			owners[fmt.Sprint(device, epoch)] = owner
			n := 1 + random.IntN(3)
			for i := range n {
				s := rows.Session{Site: "site", Device: device, Epoch: epoch, Start: 1000*epoch + int64(i), Person: session.PersonID(device, owner), Version: 3}
				if owner != "" && i+1 < n && random.IntN(2) == 0 {
					s.Person = "d:" + device // from before the link: rows that are over keep the name that they had
				}
				if owner == "" && d%3 != 0 && random.IntN(4) == 0 {
					s.ClaimedUser = []string{"ann", "ben"}[random.IntN(2)]
				}
				s.End = s.Start + 1
				all = append(all, s)
			}
		}
	}
	put(r, rows.NewSessionBuilder(), all...)

	devices, err := r.Devices(t.Context(), "ann")
	check(t, err)
	var want []string
	for _, s := range all {
		shared := slices.ContainsFunc(all, func(o rows.Session) bool {
			return o.Device == s.Device && (o.Person == "u:ben" || o.ClaimedUser == "ben")
		})
		owner := owners[fmt.Sprint(s.Device, s.Epoch)]
		if owner == "ann" || owner == "" && !shared && slices.Contains(devices, s.Device) {
			want = append(want, fmt.Sprint(s.Device, s.Start))
		}
	}
	p := r.person("ann", devices)
	export, err := r.Export(t.Context(), p)
	check(t, err)
	var got []string
	for _, row := range export[rows.TableSessions] {
		start, err := r.strings(t.Context(), "SELECT toString(toUnixTimestamp64Milli(toDateTime64(?, 3, 'UTC')))", fmt.Sprint(row["start"])[:23])
		check(t, err)
		got = append(got, fmt.Sprint(row["device"], start[0]))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("exported are %d sessions, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
	if len(want) < 40 || len(want) > len(all)-40 {
		t.Errorf("%d of %d sessions are hers: too few to tell", len(want), len(all))
	}
}

// person is a user with devices, of which others used some, too.
func (r *record) person(user string, devices []string) *identity.Person {
	r.t.Helper()
	shared, err := r.Shared(r.t.Context(), user, devices)
	check(r.t, err)
	return &identity.Person{User: user, Shared: shared, Devices: slices.DeleteFunc(devices, func(d string) bool { return slices.Contains(shared, d) })}
}

// TestSharedRest: dead letters and memberships of a shared device are the user's where they
// name her, and the device's own where they do not.
func TestSharedRest(t *testing.T) {
	t.Parallel()
	r := open(t, "rest")
	put(r, rows.NewSessionBuilder(), rows.Session{Site: "site", Device: "tablet", Epoch: 1, Person: "u:ann", Version: 3},
		rows.Session{Site: "site", Device: "tablet", Epoch: 2, Person: "u:ben", Start: 5, End: 6, Version: 3})
	l := func(offset int64, payload string) rows.DeadLetter {
		return rows.DeadLetter{Site: "site", Offset: offset, Device: "tablet", Payload: payload, Version: uint64(offset)}
	}
	put(r, rows.NewDeadLetterBuilder(), l(1, `{"userId":"ann"}`), l(2, `{"userId":"ben","order":1}`), l(3, `{"userId":"annabel"}`))
	e := func(person string) rows.SegmentEvent {
		return rows.SegmentEvent{Site: "site", Person: person, Cause: "event", At: 1, DecidedAt: 1, Node: "everyone", Action: rows.Entered}
	}
	put(r, rows.NewSegmentEventBuilder(), e("u:ann"), e("u:ben"), e("d:tablet"))
	got, err := r.Export(t.Context(), r.person("ann", []string{"tablet", "user:ann"}))
	check(t, err)
	if text := fmt.Sprint(got); strings.Contains(text, "ben") || strings.Contains(text, "annabel") || strings.Contains(text, "d:tablet") ||
		len(got[rows.TableDeadLetters]) != 1 || len(got[rows.TableSegmentEvents]) != 1 || len(got[rows.TableSessions]) != 1 {
		t.Errorf("exported is %v", got)
	}
}

// TestDisclaim: the name of a user who was deleted stood for good in sessions of devices
// that had only claimed to be hers. It goes, and what they did stays; who claims again later is
// new, and nobody else's name goes.
func TestDisclaim(t *testing.T) {
	t.Parallel()
	r := open(t, "disclaim")
	s := func(device, claimed string, start, offset int64) rows.Session {
		return rows.Session{Site: "site", Device: device, Person: "d:" + device, ClaimedUser: claimed, Start: start, End: start + 1, Events: 2,
			Version: identity.RowVersion(session.Version{Offset: offset})<<1 | 1}
	}
	put(r, rows.NewSessionBuilder(), s("kiosk", "ann", 1, 3), s("kiosk", "ann", 5, 11), s("kiosk", "ben", 7, 4), s(hostile, "ann", 1, 2), s("else", "annabel", 1, 1), s("none", "", 1, 1))
	claimers, err := r.Claimers(t.Context(), "ann")
	check(t, err)
	nobody, err := r.Claimers(t.Context(), "")
	check(t, err)
	if !slices.Equal(claimers, []string{hostile, "kiosk"}) || len(nobody) != 0 {
		t.Errorf("%q claim to be ann, %q nobody", claimers, nobody)
	}
	p := &identity.ErasedPerson{Person: identity.Person{User: "ann"}, Disclaimed: map[string]map[int32]int64{"kiosk": {0: 10}, hostile: {2: 10}}}
	for _, want := range []uint64{2, 0} { // once more does no harm
		n, err := r.Disclaim(t.Context(), p)
		check(t, err)
		if got := r.left("sessions", "device, ' ', toString(toUnixTimestamp64Milli(start)), ' ', claimed_user, ' ', toString(events)"); n != want ||
			got != hostile+" 1  2 else 1 annabel 2 kiosk 1  2 kiosk 5 ann 2 kiosk 7 ben 2 none 1  2" {
			t.Errorf("%d rows are changed; sessions has %q", n, got)
		}
	}
	if n, err := r.Disclaim(t.Context(), &identity.ErasedPerson{}); n != 0 || err != nil {
		t.Errorf("nothing to do: %d, %v", n, err)
	}
}

// TestMovesOfSharedDevices: what Ann did on a shared tablet before she logged in moved the
// device's own person, whose moves stayed when she was deleted, and were in no export of
// hers. They are hers by the offsets of their records, and what time caused in between.
func TestMovesOfSharedDevices(t *testing.T) {
	t.Parallel()
	r := open(t, "moves")
	version := func(offset int64) uint64 { return identity.RowVersion(session.Version{Offset: offset})<<1 | 1 }
	put(r, rows.NewSessionBuilder(), rows.Session{Site: "site", Device: "tablet", Epoch: 5, Person: "u:ann", Version: version(8)},
		rows.Session{Site: "site", Device: "tablet", Epoch: 10, Person: "u:ben", Start: 5, End: 6, Version: version(12)})
	e := func(person, cause string, offset int64) rows.SegmentEvent {
		return rows.SegmentEvent{Site: "site", Person: person, Cause: cause, At: offset, DecidedAt: 1, Node: "everyone", Action: rows.Entered, Transition: uint32(offset + 2), Offset: offset, Version: 1}
	}
	idle := func(at int64) rows.SegmentEvent {
		x := e("d:tablet", "time", at)
		x.Offset = -1
		return x
	}
	put(r, rows.NewSegmentEventBuilder(), e("u:ann", "event", 8), e("u:ben", "event", 12), e("d:tablet", "event", 5), e("d:tablet", "link", 7),
		e("d:tablet", "event", 3), e("d:tablet", "link", 11), idle(4), idle(6), idle(10), e("d:other", "event", 6))
	p := r.person("ann", []string{"tablet", "user:ann"})
	got, err := r.Export(t.Context(), p)
	check(t, err)
	if n := len(got[rows.TableSegmentEvents]); n != 4 {
		t.Errorf("%d moves are exported, want 4: %v", n, got[rows.TableSegmentEvents])
	}
	_, err = r.Erase(t.Context(), &identity.ErasedPerson{Person: *p, Applied: 1000, Tombstones: map[string]map[int32]int64{"tablet": {0: 20}}}, nil)
	check(t, err)
	left, err := r.strings(t.Context(), "SELECT concat(person, ' ', toString(toUnixTimestamp64Milli(at))) FROM segment_events WHERE site = 'site' ORDER BY person, at")
	check(t, err)
	if want := []string{"d:other 6", "d:tablet 3", "d:tablet 4", "d:tablet 10", "d:tablet 11", "u:ben 12"}; !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
}
