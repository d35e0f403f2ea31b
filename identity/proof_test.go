package identity

import (
	"fmt"
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// said is an event that states a user, of somebody of the trust.
func said(device, user string, at int64, trust event.Trust) event.Event {
	return event.Event{Device: device, User: user, Time: at, Kind: event.KindPage, Trust: trust}
}

// persons are whose vectors these are; a retraction has a minus.
func persons(vs []session.Vector) (out []string) {
	for _, v := range vs {
		p := session.PersonID(v.Device, v.User)
		if v.Retract {
			p = "-" + p
		}
		out = append(out, p)
	}
	return out
}

// TestClaimTable is the table of docs/adr/0020: what a record does to a device in
// each state of it.
func TestClaimTable(t *testing.T) {
	t.Parallel()
	const public, server = event.Public, event.Server
	reset := event.Event{Device: "d", Kind: event.KindReset}
	unlink := func(user string) event.Event { return event.Event{Device: "d", User: user, Kind: event.KindUnlink} }
	for _, c := range []struct {
		name    string
		events  []event.Event
		vectors []string // of the last event
		named   string   // whom the present epoch names in the end
		user    string
		epoch   int64
	}{
		{"nobody, claim", []event.Event{said("d", "", 1, public), said("d", "u", 2, public)}, []string{"d:d"}, "u", "", 0},
		{"claim, the same", []event.Event{said("d", "u", 1, public), said("d", "u", 2, public)}, []string{"d:d"}, "u", "", 0},
		{"claim, proof", []event.Event{said("d", "u", 1, public), said("d", "u", 2, server)}, []string{"-d:d", "u:u"}, "u", "u", 0},
		{"claim, another claim", []event.Event{said("d", "u", 1, public), said("d", "w", 2, public)}, []string{"-d:d", "d:d"}, "w", "", 1},
		{"claim, another one's proof", []event.Event{said("d", "u", 1, public), said("d", "w", 2, server)}, []string{"-d:d", "u:w"}, "w", "w", 1},
		{"claims between, proof", []event.Event{said("d", "u", 1, public), said("d", "w", 2, public), said("d", "u", 3, server)},
			[]string{"-d:d", "u:u", "u:u"}, "u", "u", 2},
		{"a user's, the same as a claim", []event.Event{said("d", "u", 1, server), said("d", "u", 2, public)}, []string{"u:u"}, "u", "u", 0},
		{"a user's, no user", []event.Event{said("d", "u", 1, server), said("d", "", 2, public)}, []string{"u:u"}, "u", "u", 0},
		{"a user's, another claim", []event.Event{said("d", "u", 1, server), said("d", "w", 2, public)}, []string{"d:d"}, "w", "", 1},
		{"and back, the pair is known", []event.Event{said("d", "u", 1, server), said("d", "w", 2, public), said("d", "u", 3, public)},
			[]string{"-d:d", "u:u"}, "u", "u", 2},
		{"claim, log-out", []event.Event{said("d", "u", 1, public), reset}, []string{"-d:d"}, "", "", 1},
		{"claim, log-out, proof", []event.Event{said("d", "u", 1, public), reset, said("d", "u", 3, server)}, []string{"u:u", "u:u"}, "u", "u", 1},
		{"claim, unlink, proof of a later epoch", []event.Event{said("d", "u", 1, public), said("d", "w", 2, public), unlink("u"), said("d", "u", 3, server)},
			[]string{"-d:d", "u:u"}, "u", "u", 3},
		{"nobody, a link's token: what was done before stays the device's", []event.Event{said("d", "", 1, public), said("d", "u", 2, event.Linked)},
			[]string{"-d:d", "u:u"}, "u", "u", 1},
		{"a log-out, a link's token: nothing was done before", []event.Event{said("d", "u", 1, public), reset, said("d", "w", 3, event.Linked)}, []string{"u:w"}, "w", "w", 1},
		{"new, a link's token", []event.Event{said("d", "u", 1, event.Linked)}, []string{"u:u"}, "u", "u", 0},
		{"a user's, a token of the same", []event.Event{said("d", "u", 1, server), said("d", "u", 2, event.Linked)}, []string{"u:u"}, "u", "u", 0},
		{"claim, another one's token", []event.Event{said("d", "u", 1, public), said("d", "w", 2, event.Linked)}, []string{"-d:d", "u:w"}, "w", "w", 1},
		{"a link's token, unlink: the device is what it did since", []event.Event{said("d", "", 1, public), said("d", "u", 2, event.Linked), unlink("u")},
			[]string{"-u:u", "d:d"}, "", "", 1},
		{"unlink of a claim", []event.Event{said("d", "u", 1, public), unlink("u")}, []string{"-u:u"}, "", "", 0},
		{"unlinked, claim", []event.Event{said("d", "u", 1, server), unlink("u"), said("d", "u", 2, public)}, []string{"d:d"}, "u", "", 0},
	} {
		for _, reload := range []bool{false, true} {
			b := newBench(5)
			var got []session.Vector
			for _, e := range c.events {
				if got = b.take(t, e); reload {
					b.reload(t)
				}
			}
			d := b.devices["d"]
			if !slices.Equal(persons(got), c.vectors) || d.named() != c.named || d.userID() != c.user || d.epoch != c.epoch {
				t.Errorf("%s (read back: %v): %v, names %q, is %q's, epoch %d; want %v, %q, %q, %d", c.name, reload, persons(got), d.named(), d.userID(), d.epoch, c.vectors, c.named, c.user, c.epoch)
			}
		}
	}
}

// TestAliasClaims: an alias with the public key claims as identify does, is refused
// where one with a proof is, and then changes nothing.
func TestAliasClaims(t *testing.T) {
	t.Parallel()
	for _, trust := range []event.Trust{event.Public, event.Server} {
		alias := event.Event{Device: "d", User: "u", Time: 2, Kind: event.KindAlias, Trust: trust}
		b := newBench(5)
		if b.take(t, alias); len(b.out.Dead) != 1 || b.devices["d"] != nil {
			t.Errorf("%s: an alias of nobody: %v", trust, b.out.Dead)
		}
		b.take(t, said("d", "w", 1, event.Public))
		if b.take(t, alias); len(b.out.Dead) != 1 || b.devices["d"].named() != "w" {
			t.Errorf("%s: an alias over a claim: %v, names %q", trust, b.out.Dead, b.devices["d"].named())
		}
		b.take(t, event.Event{Device: "d", Kind: event.KindReset})
		b.take(t, said("d", "", 1, event.Public))
		if b.take(t, alias); len(b.out.Dead) != 0 || b.devices["d"].named() != "u" || (b.devices["d"].userID() == "u") != trust.Verified() {
			t.Errorf("%s: an alias: %v, names %q", trust, b.out.Dead, b.devices["d"].named())
		}
	}
}

// TestClaimsTakeNoPlaces: 25 squatters pushed a user's device out, and a few claims
// used up the persons of a day. Only what is proven counts.
func TestClaimsTakeNoPlaces(t *testing.T) {
	t.Parallel()
	b := newBench(2)
	for i := range 20 {
		b.take(t, said("d", fmt.Sprint("squatter", i), int64(i+1), event.Public))
	}
	if got := b.take(t, said("d", "u", 30, event.Server)); b.devices["d"].userID() != "u" || len(b.out.Excess) > 0 {
		t.Errorf("%v, %v", persons(got), b.out.Excess)
	}
	b.take(t, said("d", "v", 31, event.Server))
	if b.take(t, said("d", "squatter1", 32, event.Server)); len(b.out.Excess) != 1 || b.devices["d"].userID() != "" {
		t.Errorf("the third person of the day: %v, is %q's", b.out.Excess, b.devices["d"].userID())
	}
	for _, o := range b.past["d"] {
		if o.epoch == 1 && !o.claims() {
			t.Error("what was done under the claim is lost: who is let in on another day proves it")
		}
	}
}

// TestClaimsAreBounded: who claims to be another user with each event cannot make a
// device remember all of them. The oldest claims go, and what was done under them is
// nobody's; the newest are proven.
func TestClaimsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(0)
	const n = 3 * maxClaims
	for i := range n {
		b.take(t, said("d", fmt.Sprint("u", i), int64(i+1)*1000, event.Public))
	}
	claims := 0
	for _, o := range b.past["d"] {
		if o.claims() {
			claims++
		}
	}
	if claims != maxClaims {
		t.Errorf("%d epochs wait for a proof", claims)
	}
	day := int64(session.DayMS)
	b.take(t, said("other", "", day, event.Public)) // the sessions are over
	if got := len(b.past["d"]); got != maxClaims {
		t.Errorf("%d epochs are kept", got)
	}
	if got := b.take(t, said("d", "u0", day+1, event.Server)); len(got) != 2 {
		t.Errorf("the oldest claim is proven by %v", persons(got))
	}
	if got := b.take(t, said("d", fmt.Sprint("u", n-2), day+2, event.Server)); len(got) != 2 || !got[0].Former || got[0].Last != (n-1)*1000 {
		t.Errorf("a newer claim is proven by %v", persons(got))
	}
	b.take(t, said("other", "", day+31*session.DayMS, event.Public))
	if got := len(b.past["d"]); got != 0 {
		t.Errorf("%d epochs outlive the retention", got)
	}
}

// TestDisclaim: a user who was deleted is named nowhere any more on a device that only
// claimed to be hers; what the device did stays its own, and nothing of a later proof
// finds it.
func TestDisclaim(t *testing.T) {
	t.Parallel()
	for _, reload := range []bool{false, true} {
		b := newBench(5)
		b.take(t, said("d", "ann", 1, event.Public))
		b.take(t, said("d", "ben", 2, event.Public))
		b.take(t, said("d", "ann", 3, event.Public))
		b.take(t, event.Event{Device: "d", User: "ann", Kind: event.KindUnlink}) // its person remembered that the device left
		b.take(t, said("d", "ann", 4, event.Public))
		if reload {
			b.reload(t)
		}
		got := b.take(t, event.Event{Device: "d", User: "ann", Kind: event.KindDisclaim})
		if len(got) != 1 || !got[0].Erased || got[0].User != "ann" || !b.out.Compact {
			t.Errorf("%v, compact %v", persons(got), b.out.Compact)
		}
		d := b.devices["d"]
		if d.named() != "" || d.Last != 4 {
			t.Errorf("it names %q, with events up to %d", d.named(), d.Last)
		}
		for _, o := range b.past["d"] {
			if o.named() == "ann" {
				t.Errorf("epoch %d names her", o.epoch)
			}
		}
		if f := b.former["d"]; len(f) > 0 {
			t.Errorf("former users %v", f)
		}
		if got := b.take(t, said("d", "ann", 5, event.Server)); len(got) != 2 || got[0].Former {
			t.Errorf("then a proof gives her %v", persons(got))
		}
	}
}

// TestOlderLinksAreLegacy: what a program without trusts has left in its snapshot, and
// had in its batches, is believed, and no proof.
func TestOlderLinksAreLegacy(t *testing.T) {
	t.Parallel()
	b := newBench(5)
	e := said("d", "u", 1000, event.Unstated)
	e.ID = 1
	if err := b.Apply(&Batch{Ranges: []Range{{Prev: -1, First: 0, Last: 0}}, Events: []event.Event{e}, Semantics: 2}, &b.out); err != nil {
		t.Fatal(err)
	}
	b.offset = 1
	if d := b.devices["d"]; d.userID() != "u" || d.link.proof != legacy {
		t.Fatalf("%q's, proof %d", d.userID(), d.link.proof)
	}
	if b.take(t, said("d", "u", 2000, event.Unchecked)); b.devices["d"].link.proof != legacy {
		t.Error("what nobody has checked became a proof")
	}
	if b.take(t, said("d", "u", 3000, event.Proven)); b.devices["d"].link.proof != proven {
		t.Error("a proof is none")
	}
}
