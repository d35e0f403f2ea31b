package erasure

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/sinks/clickhouseio"
)

var server *clickhouse.Server

func TestMain(m *testing.M) {
	clickhouse.HandleChild()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "erasure")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if server, err = clickhouse.Start(context.Background(), clickhouse.Options{Dir: filepath.Join(dir, "main")}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Stop()
	return m.Run()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// record is a database of its own.
type record struct {
	t *testing.T
	*Store
	w *clickhouseio.Writer
}

func open(t *testing.T, name string) *record {
	t.Helper()
	u, err := url.Parse(server.DSN())
	check(t, err)
	u.Path = fmt.Sprintf("/%s_%d", name, os.Getpid())
	s, err := Open(t.Context(), u.String(), "site")
	check(t, err)
	w, err := clickhouseio.Open(t.Context(), clickhouseio.Config{DSN: u.String()})
	check(t, err)
	t.Cleanup(func() {
		w.Close()
		_ = s.conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+u.Path[1:]) // the server may be someone's own
		s.Close()
	})
	return &record{t, s, w}
}

func put[R any](r *record, b *rows.Builder[R], rs ...R) {
	r.t.Helper()
	for i := range rs {
		b.Append(&rs[i])
	}
	batch, err := b.Batch(0)
	check(r.t, err)
	check(r.t, r.w.Add(r.t.Context(), batch))
	check(r.t, r.w.Flush(r.t.Context()))
}

// hostile is an id that would end a string.
const hostile = `d'\"--`

// fill writes what a user with two devices, a stranger, and the user's device
// after its deletion at offset 10 have left.
func (r *record) fill() {
	version := func(offset int64) uint64 { return identity.RowVersion(session.Version{Offset: offset})<<1 | 1 }
	s := func(device, person string, start, offset int64) rows.Session {
		return rows.Session{Site: "site", Device: device, Person: person, Start: start, End: start + 1, Version: version(offset)}
	}
	put(r, rows.NewSessionBuilder(), s(hostile, "d:"+hostile, 1, 2), s(hostile, "u:ann", 2, 9), s("desk", "u:ann", 1, 3), s(hostile, "d:"+hostile, 5, 11), s("lost", "u:ann", 1, 1),
		s("else", "u:bob", 1, 2), s("desk2", "d:desk2", 1, 2))
	e := func(person, cause string, decided int64) rows.SegmentEvent {
		return rows.SegmentEvent{Site: "site", Person: person, Cause: cause, At: decided, DecidedAt: decided, Node: "everyone", Action: rows.Entered}
	}
	put(r, rows.NewSegmentEventBuilder(), e("d:"+hostile, "event", 100), e("d:"+hostile, "erased", 200), e("d:"+hostile, "event", 201), e("u:ann", "event", 300), e("u:ann", "time", 5000),
		e("u:bob", "event", 100), e("d:desk", "link", 150))
	st := func(person string, version uint64, deleted bool) rows.SegmentState {
		return rows.SegmentState{Site: "site", Person: person, Path: "everyone", Version: version, Deleted: deleted}
	}
	for _, x := range []rows.SegmentState{st("d:"+hostile, 1, false), st("d:"+hostile, 2, true), st("d:"+hostile, 3, false), st("u:ann", 1, false), st("u:ann", 2, true), st("u:bob", 1, false)} {
		put(r, rows.NewSegmentStateBuilder(), x) // one insert each: the writer drops what is overwritten
	}
	a := func(kind, subject string) rows.Alert {
		return rows.Alert{Site: "site", Kind: kind, Subject: subject, State: rows.Raised}
	}
	put(r, rows.NewAlertBuilder(), a(rows.AlertPersonDevices, "u:ann"), a(rows.AlertDevicePersons, "d:"+hostile), a(rows.AlertDevicePersons, "d:else"), a(rows.AlertStaleSegment, "u:ann"))
	l := func(partition int32, offset int64, device, payload string) rows.DeadLetter {
		return rows.DeadLetter{Site: "site", Partition: partition, Offset: offset, Device: device, Payload: payload, Version: uint64(offset)}
	}
	quoted, err := json.Marshal(hostile)
	check(r.t, err)
	put(r, rows.NewDeadLetterBuilder(), l(0, 1, hostile, ""), l(0, 12, hostile, ""), l(3, 7, "", `{"anonymousId":`+string(quoted)+`}`), l(0, 2, "else", "annual"), l(3, 8, "", `{"userId": "ann"}`))
}

func (r *record) left(table, column string) string {
	r.t.Helper()
	found, err := r.strings(r.t.Context(), "SELECT concat("+column+") FROM "+table+" WHERE site = ? ORDER BY 1", r.site)
	check(r.t, err)
	return strings.Join(found, " ")
}

func ann() *identity.ErasedPerson {
	return &identity.ErasedPerson{Person: identity.Person{User: "ann", Devices: []string{hostile, "desk", "user:ann"}},
		Tombstones: map[string]map[int32]int64{hostile: {0: 10}, "desk": {1: 10}, "user:ann": {1: 11, 2: 4}}, Applied: 1000, Back: map[string]bool{"d:" + hostile: true}}
}

// TestErase: what is the person's from before the deletion goes; what it did
// since, and everybody else, stays.
func TestErase(t *testing.T) {
	t.Parallel()
	r := open(t, "erase")
	r.fill()
	p := ann()
	devices, err := r.Devices(t.Context(), "ann")
	check(t, err)
	if !slices.Equal(devices, []string{hostile, "desk", "lost"}) {
		t.Errorf("devices of ann: %q", devices)
	}
	users, err := r.Users(t.Context(), hostile)
	check(t, err)
	if !slices.Equal(users, []string{"ann"}) {
		t.Errorf("users of the device: %q", users)
	}
	letters, err := r.Letters(t.Context(), p)
	check(t, err)
	if len(letters) != 3 {
		t.Errorf("dead letters: %v", letters)
	}
	for i := range 2 { // once more does no harm
		deleted, err := r.Erase(t.Context(), p, letters)
		check(t, err)
		// Of a person's states the server may have dropped the older ones itself.
		if i == 0 && (deleted["dead_letters"] != 3 || deleted["segment_events"] != 4 || deleted["sessions"] != 4 || deleted["segment_state"] == 0) {
			t.Errorf("deleted are %v", deleted)
		}
		for _, c := range [][3]string{
			{"sessions", "device, ' ', toString(toUnixTimestamp64Milli(start))", hostile + " 5 desk2 1 else 1"},
			{"segment_state", "person, ' ', toString(version)", "d:" + hostile + " 3 u:bob 1"},
			{"alerts", "subject, ' ', kind", "d:else device_persons u:ann stale_segment"},
			{"dead_letters", "toString(partition), '/', toString(offset)", "0/12 0/2"},
		} {
			if got := r.left(c[0], c[1]); got != c[2] {
				t.Errorf("%s has %q, not %q", c[0], got, c[2])
			}
		}
		if i == 0 {
			if got := r.left("segment_events", "person, ' ', toString(toUnixTimestamp64Milli(decided_at))"); got != "d:"+hostile+" 201 u:ann 5000 u:bob 100" {
				t.Errorf("segment_events has %q", got)
			}
		}
	}
}

// TestExport: all of a person, and nobody else.
func TestExport(t *testing.T) {
	t.Parallel()
	r := open(t, "export")
	r.fill()
	p := ann().Person
	got, err := r.Export(t.Context(), &p)
	check(t, err)
	for table, want := range map[string]int{"sessions": 5, "segment_state": 1, "segment_events": 6, "dead_letters": 2, "alerts": 2} {
		if len(got[table]) != want {
			t.Errorf("%s: %d rows, not %d: %v", table, len(got[table]), want, got[table])
		}
	}
	b, err := json.Marshal(got)
	if err != nil || strings.Contains(string(b), "bob") || strings.Contains(string(b), "desk2") {
		t.Errorf("%s (%v)", b, err)
	}
	for person, want := range map[string]bool{"u:ann": true, "d:desk2": true, "d:else": false, "u:nobody": false} {
		if known, err := r.Known(t.Context(), person); err != nil || known != want {
			t.Errorf("%s is known: %v (%v)", person, known, err)
		}
	}
}

// TestReceipts: the last one saved counts, for who knows its id and the person's.
func TestReceipts(t *testing.T) {
	t.Parallel()
	r := open(t, "receipts")
	asked := time.Now()
	check(t, r.Save(t.Context(), "r1", "s", asked, time.Time{}, []byte(`{"a":1}`)))
	check(t, r.Save(t.Context(), "r1", "s", asked, time.Now(), []byte(`{"a":2}`)))
	for _, c := range [][3]string{{"r1", "s", `{"a":2}`}, {"r1", "other", ""}, {"r2", "s", ""}} {
		if doc, err := r.Load(t.Context(), c[0], c[1]); err != nil || string(doc) != c[2] {
			t.Errorf("%v: %s (%v)", c, doc, err)
		}
	}
	if ok, err := r.Settled(t.Context(), time.Now()); ok || err != nil {
		t.Errorf("a job that has written nothing has settled (%v)", err)
	}
	now, err := r.Now(t.Context())
	check(t, err)
	time.Sleep(5 * time.Millisecond)
	put(r, rows.NewProgressBuilder(), rows.Progress{Site: "site", Stage: rows.StageDevice, Offset: 3}, rows.Progress{Site: "site", Stage: rows.StagePerson, Offset: 3})
	if ok, err := r.Settled(t.Context(), now); !ok || err != nil {
		t.Errorf("not settled (%v)", err)
	}
	if ok, err := r.Recorded(t.Context(), map[int32]int64{0: 4}); !ok || err != nil {
		t.Errorf("not recorded (%v)", err)
	}
}
