package changelogio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/twmb/franz-go/pkg/kgo"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newConfig(t *testing.T) Config {
	t.Helper()
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	return Config{Brokers: log.Brokers(), Topic: Topic("events"), Machines: 3, Decides: map[string]string{"session.gap": "30m"}, Run: 7}
}

func open(t *testing.T, cfg Config) (*Log, *Recovery) {
	t.Helper()
	l, rec, err := Open(t.Context(), cfg)
	check(t, err)
	t.Cleanup(l.Close)
	return l, rec
}

func put(t *testing.T, l *Log, machine int, entry string) {
	t.Helper()
	check(t, l.Append(machine, []byte(entry))(t.Context()))
}

func snapshotAll(t *testing.T, l *Log, state string) {
	t.Helper()
	for i := range l.cfg.Machines {
		w := l.Begin(t.Context(), i)
		_, err := w.Write([]byte(state))
		check(t, err)
		check(t, w.Close())
	}
}

func entries(m Machine) (out []string) {
	for _, e := range m.Entries {
		out = append(out, string(e))
	}
	return out
}

// TestEqualsAModel: whatever processes append, snapshot, commit or leave half
// done before they are gone, the next one finds the last committed snapshots and
// every entry since, in order.
func TestEqualsAModel(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	r := rand.New(rand.NewPCG(3, 1))
	type model struct {
		snapshot []byte
		entries  []string
	}
	want := make([]model, cfg.Machines)
	n := 0
	for life := range 12 {
		l, rec := open(t, cfg)
		if (rec.Manifest == nil) != (life == 0) {
			t.Fatalf("life %d: %q", life, rec.Reason)
		}
		for i, m := range rec.Machines {
			if !bytes.Equal(m.Snapshot, want[i].snapshot) || !slices.Equal(entries(m), want[i].entries) {
				t.Fatalf("life %d, machine %d: a snapshot of %d bytes and %d entries, not %d and %d", life, i, len(m.Snapshot), len(m.Entries), len(want[i].snapshot), len(want[i].entries))
			}
		}
		if l.Run() != 7 {
			t.Errorf("run %d", l.Run())
		}
		for range 1 + r.IntN(40) {
			i := r.IntN(cfg.Machines)
			n++
			e := fmt.Sprint("entry ", n, " ", strings.Repeat("x", r.IntN(50)*r.IntN(2)))
			if r.IntN(15) == 0 {
				e += strings.Repeat("y", 2*chunkSize+r.IntN(chunkSize))
			}
			put(t, l, i, e)
			want[i].entries = append(want[i].entries, e)
			if r.IntN(8) > 0 {
				continue
			}
			next := make([]model, cfg.Machines)
			for j := range next {
				next[j].snapshot = bytes.Repeat([]byte{byte(n)}, 1+r.IntN(3)*chunkSize)
				w := l.Begin(t.Context(), j)
				_, err := w.Write(next[j].snapshot)
				check(t, err)
				// Others go on while a snapshot is written.
				put(t, l, j, "meanwhile")
				next[j].entries = []string{"meanwhile"}
				want[j].entries = append(want[j].entries, "meanwhile")
				check(t, w.Close())
			}
			if r.IntN(2) == 0 {
				check(t, l.Commit(t.Context(), map[int32]int64{0: int64(n)}, time.Now()))
				want = next
			}
		}
		if _, err := Inspect(t.Context(), cfg.Brokers, cfg.Topic, true); err != nil {
			t.Errorf("life %d: %v", life, err)
		}
		cfg.Run++ // of a job that begins; this one goes on
	}
}

// TestZombie: a process that was paused while another took over finds out at its
// next entry, and nothing that it still writes counts.
func TestZombie(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	old, _ := open(t, cfg)
	put(t, old, 0, "before")
	young, rec := open(t, cfg)
	if got := entries(rec.Machines[0]); !slices.Equal(got, []string{"before"}) {
		t.Fatalf("the next process finds %q", got)
	}
	if err := old.Append(0, []byte("zombie"))(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("a zombie writes: %v", err)
	}
	select {
	case <-old.Failed():
	default:
		t.Error("the zombie goes on")
	}
	if err := old.Append(1, []byte("again"))(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("a zombie writes again: %v", err)
	}
	// The owner finds what the zombie wrote before its own entries, and goes on.
	put(t, young, 1, "after")
	for i := range 3 {
		put(t, young, 0, fmt.Sprint("owner ", i))
	}
	if err := old.Append(2, []byte("x"))(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("the zombie is back: %v", err)
	}
	snapshotAll(t, young, "state")
	put(t, young, 0, "behind")
	check(t, young.Commit(t.Context(), nil, time.Now()))
	_, rec = open(t, cfg)
	if got := entries(rec.Machines[0]); !slices.Equal(got, []string{"behind"}) || string(rec.Machines[0].Snapshot) != "state" {
		t.Errorf("machine 0 has %q", got)
	}
}

// TestIdleZombie: a job that came back as a zombie went on for as long as no event
// came, and longer: one that catches up applies what its journal has, and appends
// nothing. It looks by itself, at once and then every second.
func TestIdleZombie(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	old, _ := open(t, cfg)
	check(t, old.Owned(t.Context()))
	watching := make(chan struct{})
	go func() { defer close(watching); old.Watch(t.Context()) }()
	late, _ := open(t, cfg)
	<-old.Failed()
	<-watching
	young, _ := open(t, cfg)
	if err := old.Owned(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("the zombie believes to be the owner: %v", err)
	}
	check(t, young.Owned(t.Context()))
	put(t, young, 0, "after")
	snapshotAll(t, young, "state")
	check(t, young.Commit(t.Context(), nil, time.Now()))
	// The claim is no longer there; one that looks so late said that the changelog is damaged.
	if err := late.Owned(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("the zombie that looks after a commit: %v", err)
	}
	if _, rec := open(t, cfg); string(rec.Machines[0].Snapshot) != "state" {
		t.Errorf("the next process finds %q", rec.Machines[0].Snapshot)
	}
}

// TestRefused: what cannot be gone on with says why and what to do.
func TestRefused(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	l, rec := open(t, cfg)
	if rec.Manifest != nil || rec.Reason == "" {
		t.Errorf("a new changelog: %+v", rec)
	}
	snapshotAll(t, l, "state")
	check(t, l.Commit(t.Context(), nil, time.Now()))
	other := cfg
	other.Decides = map[string]string{"session.gap": "45m"}
	if _, rec := open(t, other); rec.Manifest != nil || !strings.Contains(rec.Reason, "has changed: session.gap (30m → 45m)") {
		t.Errorf("another configuration: %q", rec.Reason)
	}
	cfg.Decides = other.Decides
	if l, rec := open(t, cfg); rec.Manifest == nil {
		t.Errorf("the same again: %q", rec.Reason)
	} else {
		snapshotAll(t, l, "state")
		check(t, l.Commit(t.Context(), nil, time.Now()))
	}
	read := cfg
	read.Reading = map[string]string{"future_tolerance": "10m"}
	if l, rec := open(t, read); rec.Manifest == nil {
		t.Errorf("read otherwise, with nothing behind the snapshots: %q", rec.Reason)
	} else {
		put(t, l, 0, "behind")
	}
	if _, rec := open(t, read); rec.Manifest == nil || rec.Entries != 1 || string(rec.Machines[1].Snapshot) != "state" {
		t.Errorf("read as behind the snapshots: %q, %+v", rec.Reason, rec)
	}
	if _, rec := open(t, cfg); rec.Manifest != nil || !strings.Contains(rec.Reason, "killed") {
		t.Errorf("read otherwise, with something behind the snapshots: %q", rec.Reason)
	}
	cfg.Anew, cfg.Run = true, 3 // this machine's clock is behind: rows of an earlier run would lose against those that are there
	if l, rec := open(t, cfg); rec.Manifest != nil || l.Run() <= 7 {
		t.Errorf("asked to begin anew, it goes on, or as run %d", l.Run())
	}
	cfg.Anew = false
	l, _ = open(t, cfg)
	snapshotAll(t, l, "state")
	check(t, l.Commit(t.Context(), nil, time.Now()))
	rewrite(t, l, func(m *Manifest) { m.Machines[1].CRC++ })
	for _, err := range []error{reopen(cfg), inspect(cfg)} {
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "--rebuild") {
			t.Errorf("a wrong checksum: %v", err)
		}
	}
	l.sent[l.control()]++ // the claim of reopen
	rewrite(t, l, func(m *Manifest) { m.Schema = Schema + 1 })
	if err := reopen(cfg); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "start that version") {
		t.Errorf("a newer schema: %v", err)
	}
}

func reopen(cfg Config) error {
	l, _, err := Open(context.Background(), cfg)
	if err == nil {
		l.Close()
	}
	return err
}

func inspect(cfg Config) error {
	_, err := Inspect(context.Background(), cfg.Brokers, cfg.Topic, true)
	return err
}

// rewrite writes the last manifest again, changed, as the owner would.
func rewrite(t *testing.T, l *Log, change func(*Manifest)) {
	t.Helper()
	s, err := Inspect(t.Context(), l.cfg.Brokers, l.cfg.Topic, false)
	check(t, err)
	change(&s.Manifest)
	b, err := json.Marshal(s.Manifest)
	check(t, err)
	claim := l.record(kindClaim, l.control(), nil)
	check(t, l.cl.ProduceSync(t.Context(), claim, l.record(kindManifest, l.control(), b)).FirstErr())
}

// FuzzRecord: whatever a record holds, reading it is no panic.
func FuzzRecord(f *testing.F) {
	l := &Log{nonce: 9, cfg: Config{Topic: "x"}}
	for _, kind := range []byte{kindEntry, kindMore, kindClaim, kindBegin, kindChunk, kindManifest, kindAlive} {
		f.Add(l.record(kind, 0, []byte("12345678body")).Value)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x := reader{part: Part{Chunks: 1, Bytes: 4}, round: 1, owner: owner{nonce: 9}}
		x.take(&kgo.Record{Value: b})
	})
}

// TestOtherMachines: a topic that was made for fewer machines was deleted, with
// all that the job knew. It grows, and shrinks in use, and a process that dies
// before its first snapshots are complete leaves what was there.
func TestOtherMachines(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	l, _ := open(t, cfg)
	snapshotAll(t, l, "three")
	check(t, l.Commit(t.Context(), map[int32]int64{0: 9}, time.Now()))
	was := 3
	for i, machines := range []int{7, 5, 9, 3} {
		next := cfg
		next.Machines = machines
		for range 2 { // the first one dies half-way
			l, rec := open(t, next)
			if rec.Manifest == nil || len(rec.Machines) != was || rec.Entries != 0 {
				t.Fatalf("step %d: %q, %d machines, %d entries", i, rec.Reason, len(rec.Machines), rec.Entries)
			}
			if got, want := string(rec.Machines[was-1].Snapshot), []string{"three", "state0", "state1", "state2"}[i]; got != want {
				t.Fatalf("step %d: the last machine has %q, want %q", i, got, want)
			}
			for m := range machines - 1 {
				w := l.Begin(t.Context(), m)
				_, err := w.Write([]byte("half"))
				check(t, err)
				check(t, w.Close())
			}
		}
		l, _ := open(t, next)
		snapshotAll(t, l, fmt.Sprint("state", i))
		check(t, l.Commit(t.Context(), map[int32]int64{0: 9}, time.Now()))
		put(t, l, machines-1, "behind")
		if _, rec := open(t, next); rec.Entries != 1 || len(rec.Machines) != machines {
			t.Fatalf("step %d: %d machines, %d entries", i, len(rec.Machines), rec.Entries)
		}
		s, err := Inspect(t.Context(), cfg.Brokers, cfg.Topic, true)
		check(t, err)
		if len(s.Machines) != machines {
			t.Errorf("step %d: %d machines", i, len(s.Machines))
		}
		l, _ = open(t, next)
		snapshotAll(t, l, fmt.Sprint("state", i))
		check(t, l.Commit(t.Context(), map[int32]int64{0: 9}, time.Now()))
		was = machines
	}
}

// TestCoveredOfAYoungJob: a job that has not yet written a snapshot counted as one
// without a changelog. Who deleted a person did not wait for its first one, and a job
// that was killed then made the person's rows again, from the journal.
func TestCoveredOfAYoungJob(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	if _, ok, err := Covered(t.Context(), cfg.Brokers, cfg.Topic); ok || err != nil {
		t.Errorf("a changelog that is not there: %v, %v", ok, err)
	}
	l, _ := open(t, cfg)
	put(t, l, 0, "a")
	if offsets, ok, err := Covered(t.Context(), cfg.Brokers, cfg.Topic); !ok || len(offsets) > 0 || err != nil {
		t.Errorf("a journal without a snapshot covers %v: %v, %v", offsets, ok, err)
	}
}

// TestPieces: a large snapshot is not in memory as a whole while it is read, and is
// looked at before anybody begins to read it.
func TestPieces(t *testing.T) {
	cfg := newConfig(t)
	l, _ := open(t, cfg)
	large := make([]byte, wholeBytes+wholeBytes/2)
	for i := range large {
		large[i] = byte(i * i >> 8)
	}
	for i := range cfg.Machines {
		w := l.Begin(t.Context(), i)
		state := large
		if i > 0 {
			state = []byte("small")
		}
		_, err := w.Write(state)
		check(t, err)
		check(t, l.Append(i, []byte("beside"))(t.Context()))
		check(t, w.Close())
	}
	check(t, l.Commit(t.Context(), nil, time.Now()))
	check(t, l.Append(0, []byte("behind"))(t.Context()))
	cfg.Pieces = func(machine, _ int) bool { return machine < 2 }
	_, rec := open(t, cfg)
	m := rec.Machines[0]
	if m.Open == nil || m.Snapshot != nil || rec.Machines[1].Open != nil || !slices.Equal(entries(m), []string{"beside", "behind"}) {
		t.Fatalf("a snapshot of %d bytes, entries %v", len(m.Snapshot), entries(m))
	}
	for range 2 {
		next, stop := m.Open()
		var got []byte
		for piece, err := next(); len(piece) > 0; piece, err = next() {
			check(t, err)
			got = append(got, piece...)
		}
		if stop(); !bytes.Equal(got, large) {
			t.Errorf("%d bytes in pieces, want %d", len(got), len(large))
		}
	}
	next, stop := m.Open()
	_, err := next()
	check(t, err)
	stop() // in the middle
}
