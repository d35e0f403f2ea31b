package erasure

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/session"
)

// fillShared writes what a tablet in a kitchen has: Ann, who had been there before she
// logged in, then Bob, then Ann again, then nobody. A box was Ann's until an unlink and is
// nobody's since, a desk was hers until an unlink and is Bob's now. A screen was silent for
// a year between her and Bob, so that both have an epoch of the number 0.
func (r *record) fillShared() {
	s := func(device, person string, epoch, start, offset int64, claimed string) rows.Session {
		return rows.Session{Site: "site", Device: device, Person: person, Epoch: epoch, Start: start, End: start + 1, ClaimedUser: claimed,
			Version: identity.RowVersion(session.Version{Offset: offset})<<1 | 1}
	}
	put(r, rows.NewSessionBuilder(),
		s("tablet", "d:tablet", 0, 1, 1, ""), s("tablet", "u:ann", 0, 2, 4, ""), s("tablet", "u:bob", 5, 3, 8, ""), s("tablet", "d:tablet", 9, 4, 10, "ann"),
		s("tablet", "u:ann", 9, 5, 11, ""), s("tablet", "d:tablet", 12, 6, 13, ""), s("tablet", "u:ann", 25, 7, 26, ""),
		s("box", "u:bob", 0, 1, 1, ""), s("box", "u:ann", 3, 2, 4, ""), s("box", "d:box", 3, 3, 6, ""),
		s("desk", "u:ann", 0, 1, 1, ""), s("desk", "u:bob", 0, 2, 6, ""),
		s("screen", "u:ann", 0, 1, 3, ""), s("screen", "d:screen", 0, 5000, 7, ""), s("screen", "u:bob", 0, 5500, 8, ""),
		s("own", "u:ann", 0, 1, 1, ""), s("own", "d:own", 4, 2, 5, ""), s("mallory", "d:mallory", 0, 1, 1, "ann"))
	var letters []rows.DeadLetter
	for offset, payload := range map[int64]string{3: `{"type":"x"}`, 4: `{"userId":"bob"}`, 6: `{"userId":"ann"}`, 7: "", 10: `{"userId":null}`, 13: `{}`} {
		letters = append(letters, rows.DeadLetter{Site: "site", Partition: 2, Offset: offset, Device: "tablet", Payload: payload, Version: uint64(offset)})
	}
	letters = append(letters, rows.DeadLetter{Site: "site", Partition: 1, Offset: 2, Device: "tablet", Reason: "stray", Version: 1})
	put(r, rows.NewDeadLetterBuilder(), letters...)
}

// TestDeletionOfEpochs: of devices that two used, an export and a deletion have what the
// one did, and nothing of the other: his order went with hers. Her name goes from where
// it is not her epoch any more.
func TestDeletionOfEpochs(t *testing.T) {
	t.Parallel()
	r := open(t, "epochs")
	r.fillShared()
	devices, err := r.Devices(t.Context(), "ann")
	check(t, err)
	person := r.person("ann", append(devices, "user:ann"))
	person.Forgotten = 1000
	if got := strings.Join(person.Shared, " "); got != "box desk screen tablet" {
		t.Errorf("shared are %s", got)
	}
	p := &identity.ErasedPerson{Person: *person, Tombstones: map[string]map[int32]int64{"own": {1: 10}, "user:ann": {1: 11}, "tablet": {2: 20}, "box": {2: 21}, "desk": {2: 22}, "screen": {2: 23}}}
	p.Disclaimed = map[string]map[int32]int64{"mallory": {0: 9}}
	for _, d := range p.Shared {
		p.Disclaimed[d] = p.Tombstones[d]
	}
	got, err := r.Export(t.Context(), &p.Person)
	check(t, err)
	var starts, offsets []string
	for _, row := range got["sessions"] {
		starts = append(starts, fmt.Sprint(row["device"], row["start"].(time.Time).UnixMilli()))
	}
	for _, row := range got["dead_letters"] {
		offsets = append(offsets, fmt.Sprint(row["offset"]))
	}
	slices.Sort(starts)
	// The last session of the tablet is of after the deletion, which an export knows nothing of.
	if fmt.Sprint(starts) != "[box2 box3 desk1 own1 own2 screen1 tablet1 tablet2 tablet4 tablet5 tablet7]" || fmt.Sprint(offsets) != "[3 6 10]" {
		t.Errorf("the export has sessions %q and dead letters %q", starts, offsets)
	}
	if b, err := json.Marshal(got); err != nil || strings.Contains(string(b), "bob") || strings.Contains(string(b), "mallory") {
		t.Errorf("the export has others: %s (%v)", b, err)
	}

	epochs, err := r.Epochs(t.Context(), p)
	check(t, err)
	var ranges []string
	for _, e := range epochs {
		if e.Partition != 2 || e.Offset < 20 || e.User != identity.HashDevice("ann") {
			t.Errorf("%+v", e)
		}
		for _, d := range p.Shared {
			if e.Device == identity.HashDevice(d) {
				ranges = append(ranges, fmt.Sprintf("%s %d-%d", d, e.From, e.To))
			}
		}
	}
	if fmt.Sprint(ranges) != "[box 3-21 desk 0-0 screen 0-4 tablet 0-5 tablet 9-12]" {
		t.Errorf("records of hers are %v", ranges)
	}
	letters, err := r.Letters(t.Context(), p)
	check(t, err)
	for range 2 { // once more does no harm
		_, err = r.Erase(t.Context(), p, letters)
		check(t, err)
		_, err = r.Disclaim(t.Context(), p)
		check(t, err)
		if got := r.left("sessions", "device, toString(toUnixTimestamp64Milli(start)), ' ', person, ' ', claimed_user"); got != "box1 u:bob  desk1 d:desk  desk2 u:bob  mallory1 d:mallory  "+
			"screen5000 d:screen  screen5500 u:bob  tablet3 u:bob  tablet6 d:tablet  tablet7 u:ann " {
			t.Errorf("left are the sessions %q", got)
		}
		if got := r.left("dead_letters", "toString(offset)"); got != "13 2 4 7" {
			t.Errorf("left are the dead letters %q", got)
		}
	}
}
