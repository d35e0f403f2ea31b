package transforms

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
)

// TestDisclaimedStaysNameless: a user was deleted whom devices had only claimed to be. Their
// sessions lost the name, and had it again when the log was read again. The records are
// read without it then: epochs are cut as before, what was done stays the device's, and
// nothing names the user, not for a moment.
func TestDisclaimedStaysNameless(t *testing.T) {
	t.Parallel()
	tried := 0
	for seed := range seeds(200) {
		r := rand.New(rand.NewPCG(seed, 24))
		shards := 1 + r.IntN(2)
		spec := testSpec(t, fmt.Sprint("nameless-", shards), shards, 3)
		l := claimsLog(r, spec.Partitions)
		gone := l.disclaimed(t, &spec)
		got := runPlain(t, &spec, l, l.cut(t, &spec, r))
		again := spec
		again.Job += "-again"
		for p, e := range gone {
			again.Erased = append(again.Erased, e)
			for _, row := range got[rows.TableSessions] {
				if version, err := strconv.ParseInt(row["version"], 10, 64); row["device"] == p.device && row["claimed_user"] == p.user && version>>13 < e.Offset {
					check(t, err)
					row["claimed_user"] = ""
					tried++
				}
			}
		}
		anew := runAgain(t, &again, l, l.cut(t, &again, r), r, func(b rows.Batch) { noNames(t, seed, b, gone) })
		compareLeft(t, seed, got, anew)
		forgetBuilt(spec.Job)
		forgetBuilt(again.Job)
	}
	if tried < 50 && !chosen() {
		t.Errorf("%d sessions lost a name: the sequences prove little", tried)
	}
}

// claimsLog is linkLog with one user who is ever proven, and with users who are deleted.
func claimsLog(r *rand.Rand, parts int32) *testLog {
	drawn, l := linkLog(r, parts, 15+r.IntN(40)), &testLog{}
	drawn.trust(r, true)
	for i, rec := range drawn.arrival {
		line := strings.Replace(string(rec.Value), event.TypeDelete, event.TypeReset, 1)
		if strings.Contains(line, `"u1"`) || strings.Contains(line, `"u2"`) {
			rec.Trust = event.Public
		}
		l.put(rec.Partition, line, rec.Trust)
		if d := r.IntN(4); r.IntN(6) == 0 {
			e := event.Disclaimed{Device: fmt.Sprint("d", d), User: fmt.Sprint("u", 1+r.IntN(2)), Receipt: fmt.Sprint("x", i)}
			l.put(home(d, parts), string(e.Append(nil, "2026-03-01T10:00:00Z")), event.Server)
		}
	}
	return l
}

// noNames fails where a row has the name of a user that is gone, or what stands for it.
func noNames(t *testing.T, seed uint64, b rows.Batch, gone map[named]identity.Erasure) {
	t.Helper()
	ts := tables{}
	ts.add(t, b)
	for _, row := range ts[b.Table] {
		for column, v := range row {
			if !utf8.ValidString(v) {
				t.Fatalf("seed %d: %s of %s is %q", seed, column, b.Table, v)
			}
		}
		if b.Table != rows.TableSessions {
			continue
		}
		version, err := strconv.ParseInt(row["version"], 10, 64)
		check(t, err)
		if e, ok := gone[named{row["device"], row["claimed_user"]}]; ok && version>>13 < e.Offset {
			t.Fatalf("seed %d: named again: %v", seed, row)
		}
	}
}

// named is a device that said to be a user's.
type named struct{ device, user string }

// disclaimed are the pairs that were disclaimed and never proven, with where the last time.
func (l *testLog) disclaimed(t *testing.T, spec *Spec) map[named]identity.Erasure {
	t.Helper()
	d, err := event.NewDecoder(spec.Event)
	check(t, err)
	out, proven := map[named]identity.Erasure{}, map[named]bool{}
	for _, rec := range l.arrival {
		var e event.Event
		if d.Decode(rec.Value, rec.Trust, 0, &e) != nil || e.User == "" {
			continue
		}
		p := named{strings.Clone(e.Device), strings.Clone(e.User)}
		switch {
		case e.Kind == event.KindDisclaim:
			out[p] = identity.Erasure{Partition: rec.Partition, Offset: rec.Offset, Device: identity.HashDevice(p.device), User: identity.HashDevice(p.user)}
		case !e.Kind.Control() && (e.Trust.Verified() || e.Trust == event.Unchecked):
			proven[p] = true
		}
	}
	for p := range proven {
		delete(out, p)
	}
	return out
}
