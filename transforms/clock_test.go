package transforms

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rows"
)

// oddClocks are logs in which somebody's clock is wrong, or nobody can say what time it
// is: the time and the receipt (0: none) of event i of device d of a log that is at so far.
var oddClocks = []struct {
	name    string
	devices int
	stamp   func(r *rand.Rand, i, d int, at time.Time) (when, receipt time.Time)
}{
	{"one device alone", 1, func(r *rand.Rand, i, _ int, at time.Time) (when, receipt time.Time) {
		if i%9 == 4 {
			at = at.Add(-time.Duration(r.IntN(300)) * time.Minute)
		}
		return at, receipt
	}},
	{"a stamp five days ahead", 7, func(r *rand.Rand, i, _ int, at time.Time) (when, receipt time.Time) {
		if i == 30 {
			at = at.Add(5 * 24 * time.Hour)
		}
		return at, receipt
	}},
	{"two devices ahead together", 7, func(r *rand.Rand, i, d int, at time.Time) (when, receipt time.Time) {
		if i > 50 && d < 2 {
			at = at.Add(3 * time.Hour)
		}
		return at, receipt
	}},
	{"devices 298 s ahead of their receipts", 9, func(r *rand.Rand, i, d int, at time.Time) (when, receipt time.Time) {
		switch {
		case d >= 7:
			return at.Add(298 * time.Second), at.Add(137 * time.Millisecond)
		case i%5 == 0:
			return at.Add(-7 * time.Minute), at.Add(137 * time.Millisecond)
		}
		return at, at.Add(137 * time.Millisecond)
	}},
	{"collectors that are apart", 7, func(r *rand.Rand, i, d int, at time.Time) (when, receipt time.Time) {
		skew := []time.Duration{-4 * time.Minute, 0, 20 * time.Minute}[i%3]
		return at, at.Add(skew + 137*time.Millisecond)
	}},
	{"a file that goes on behind a collector", 7, func(r *rand.Rand, i, d int, at time.Time) (when, receipt time.Time) {
		if i < 60 {
			receipt = at.Add(137 * time.Millisecond)
		} else if d == 0 {
			at = at.Add(48 * time.Hour)
		}
		return at, receipt
	}},
	{"one of two walks on alone", 2, func(r *rand.Rand, i, d int, at time.Time) (when, receipt time.Time) {
		if i > 40 && d == 1 {
			at = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Second)
		}
		return at, receipt
	}},
}

func oddLog(r *rand.Rand, parts int32, shape int) *testLog {
	l, at, o := &testLog{}, time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), oddClocks[shape]
	for i := range 90 {
		at = at.Add(time.Duration(r.Int64N(int64([]time.Duration{2 * time.Second, 40 * time.Second, 5 * time.Minute}[r.IntN(3)]))))
		d := r.IntN(o.devices)
		when, receipt := o.stamp(r, i, d, at)
		line := visit(r, fmt.Sprint("d", d), "", i, when)
		if !receipt.IsZero() {
			line = fmt.Sprintf(`{"receivedAt":"%s",%s`, receipt.UTC().Format("2006-01-02T15:04:05.000Z"), line[1:])
		}
		l.add(home(d, parts), line)
	}
	return l
}

// TestOddClocks: whose clock is wrong, and in whatever way a log does not say what time
// it is, the stages have the model's verdicts, sessions and persons, and the batch
// execution takes the same events into sessions.
func TestOddClocks(t *testing.T) {
	t.Parallel()
	for shape, o := range oddClocks {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			for seed := range seeds(2) {
				r := rand.New(rand.NewPCG(seed, uint64(shape)))
				parts := int32(1 + 2*r.IntN(2))
				spec := testSpec(t, fmt.Sprint("odd-", shape, "-", seed), 1+r.IntN(2), parts)
				l := oddLog(r, parts, shape)
				b, err := spec.Build()
				check(t, err)
				got := runAgain(t, &spec, l, l.cut(t, &spec, r), r, func(rows.Batch) {})
				d, err := event.NewDecoder(spec.Event)
				check(t, err)
				m := newModel(b)
				for _, rec := range l.arrival {
					m.take(t, d, rec)
				}
				compareVerdicts(t, seed, got, m)
				compareSessions(t, seed, got, m)
				comparePersons(t, seed, got, m, true)
				if n := timely(t, &spec, l); parts == 1 && n != m.inSessions() {
					t.Errorf("seed %d: the batch execution takes %d events into sessions, the model %d", seed, n, m.inSessions())
				}
			}
		})
	}
}

// timely is how many events of a log of one partition the batch execution takes into sessions.
func timely(t *testing.T, spec *Spec, l *testLog) (n int) {
	t.Helper()
	fn := &lineFn{Spec: *spec}
	check(t, fn.Setup())
	var lines [][]byte
	for _, rec := range l.parts[0] {
		fn.ProcessElement(rec.Offset, rec.Value, func(b []byte) { lines = append(lines, b) })
	}
	next := func(b *[]byte) bool {
		if len(lines) == 0 {
			return false
		}
		*b, lines = lines[0], lines[1:]
		return true
	}
	check(t, (&timelyFn{Spec: *spec}).ProcessElement(nil, next, func(beam.EventTime, string, []byte) { n++ }))
	return n
}

// inSessions is how many events of sessions the model has.
func (m *model) inSessions() (n int) {
	for d, es := range m.devices {
		for _, e := range append(slices.Clone(m.room.life(d).over), es...) {
			n += len(e.events)
		}
	}
	return n
}
