package transforms

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
)

// poison are records of which stages panic.
type poison struct {
	of map[string][]identity.Place // by stage
}

// choosePoison draws records of which the device stage or the person stage panics,
// half-way through them. The log that it returns is the one with which a job that does
// not panic comes to the same: who reads the records of the device stage there finds
// nothing, and those of the person stage are left out. Where the log has histories of
// devices, which have those records, the job knows from the start what to leave out.
func choosePoison(t *testing.T, r *rand.Rand, spec *Spec, l *testLog) (clean *testLog, p *poison) {
	t.Helper()
	probe := *spec
	probe.Job += "-probe"
	b, err := probe.buildOnce()
	check(t, err)
	seen := map[string]map[identity.Place]bool{"device": {}, "person": {}}
	b.testPanic = func(stage string, at identity.Place) { seen[stage][at] = true }
	runPlain(t, &probe, l, l.cut(t, &probe, rand.New(rand.NewPCG(1, 1))))
	d, err := event.NewDecoder(spec.Event)
	check(t, err)
	p = &poison{of: map[string][]identity.Place{}}
	for stage, places := range seen {
		all := slices.SortedFunc(maps.Keys(places), func(a, b identity.Place) int {
			return int(a.Partition-b.Partition)*1000 + int(a.Offset-b.Offset)
		})
		for range 2 {
			if len(all) == 0 {
				break
			}
			at := all[r.IntN(len(all))]
			var e event.Event
			if d.Decode(l.parts[at.Partition][at.Offset].Value, event.Unstated, 0, &e) != nil || e.Kind.Control() || slices.Contains(p.of["device"], at) || slices.Contains(p.of["person"], at) {
				continue
			}
			p.of[stage] = append(p.of[stage], at)
		}
	}
	clean = &testLog{mended: l.mended, poison: p.of["person"]}
	if l.mended != nil {
		clean.left = p.of["device"]
	}
	for _, rec := range l.arrival {
		value := string(rec.Value)
		if l.mended == nil && slices.Contains(p.of["device"], identity.Place{Partition: rec.Partition, Offset: rec.Offset}) {
			value = "poison"
		}
		clean.put(rec.Partition, value, rec.Trust)
	}
	return clean, p
}

// inject makes the job's stages panic of the records.
func (p *poison) inject(t *testing.T, spec *Spec) {
	t.Helper()
	if p == nil {
		return
	}
	b, err := spec.buildOnce()
	check(t, err)
	b.testPanic = func(stage string, at identity.Place) {
		if slices.Contains(p.of[stage], at) {
			panic(fmt.Sprint("about ", at))
		}
	}
}

// check finds the dead letters of the records, and takes them out of both sides, as
// their reasons differ.
func (p *poison) check(t *testing.T, seed uint64, want, got tables) {
	t.Helper()
	if p == nil {
		return
	}
	for _, places := range p.of {
		for _, at := range places {
			for key, row := range got[rows.TableDeadLetters] {
				if row["partition"] == fmt.Sprint(at.Partition) && row["offset"] == fmt.Sprint(at.Offset) {
					// An alias never comes to panic where what made its device known is left out.
					refused := row["reason"] == string(event.Identity)
					if row["reason"] != string(event.Poison) && !refused || row["device"] == "" && row["payload"] == "" {
						t.Fatalf("seed %d: the dead letter of %v is %v", seed, at, row)
					}
					delete(got[rows.TableDeadLetters], key)
					delete(want[rows.TableDeadLetters], key)
				}
			}
			for key, row := range want[rows.TableDeadLetters] {
				if row["partition"] == fmt.Sprint(at.Partition) && row["offset"] == fmt.Sprint(at.Offset) {
					t.Fatalf("seed %d: %v has no dead letter (%s)", seed, at, key)
				}
			}
		}
	}
}

// TestDecoderPanics: a record of which the decoder panics is a dead letter, and those
// around it are read; the header names it, so that a decoder in which the fault is
// mended leaves it out of that batch as well. Not parallel: the hook is everybody's.
func TestDecoderPanics(t *testing.T) {
	spec := testSpec(t, "decoder-panics", 1, 1)
	d, err := NewBatchDecoder(&spec)
	check(t, err)
	raw := identity.RawBatch{Ranges: []identity.Range{{Prev: -1, Last: 2}}, Chunks: [][]identity.Record{nil}}
	for o := range int64(3) {
		raw.Chunks[0] = append(raw.Chunks[0], identity.Record{Offset: o, Value: fmt.Appendf(nil, `{"type":"page","anonymousId":"d","messageId":"%d","timestamp":"2026-03-01T10:00:00Z"}`, o)})
	}
	testDecode = func(r *identity.Record) {
		if r.Offset == 1 {
			panic("injected")
		}
	}
	defer func() { testDecode = nil }()
	for range 2 {
		h, b := d.Decode(&raw)
		if len(b.Events) != 2 || len(b.Dead) != 1 || b.Dead[0].Reason != event.Poison || b.Dead[0].Offset != 1 || len(b.Dead[0].Raw) == 0 || !slices.Equal(h.Poison, []identity.Place{{Offset: 1}}) {
			t.Fatalf("%d events, %+v, left out %v", len(b.Events), b.Dead, h.Poison)
		}
		raw.Poison, testDecode = h.Poison, nil // as in the journal, and mended
	}
}
