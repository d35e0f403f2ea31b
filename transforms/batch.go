package transforms

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/mtime"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/session"
)

func init() {
	beam.RegisterDoFn(reflect.TypeFor[lineFn]())
	beam.RegisterDoFn(reflect.TypeFor[timelyFn]())
	beam.RegisterDoFn(reflect.TypeFor[sessionFn]())
	beam.RegisterDoFn(reflect.TypeFor[sessionRowFn]())
}

// Sessions is the batch execution of the session algebra: Beam's own session
// windows and a combiner over the same fold that the live job keeps in state. It
// takes a PCollection<KV<int64, []byte>> of offsets and Segment-spec records of
// one partition, which one worker judges, and
// returns a PCollection<rows.Batch> of sessions.
func Sessions(s beam.Scope, spec Spec, col beam.PCollection) beam.PCollection {
	s = s.Scope("transforms.Sessions")
	lines := beam.ParDo(s, &lineFn{Spec: spec}, col)
	// As a side input: what leaves a grouping has the time of its end, and events
	// before that would be dropped.
	events := beam.ParDo(s, &timelyFn{Spec: spec}, beam.Impulse(s), beam.SideInput{Input: lines})
	windowed := beam.WindowInto(s, window.NewSessions(time.Duration(spec.GapMS)*time.Millisecond), events)
	folded := beam.CombinePerKey(s, &sessionFn{}, windowed)
	return beam.ParDo(s, &sessionRowFn{Spec: spec}, folded)
}

// lineFn decodes records; what cannot be decoded is the live job's to report, and
// so are aliases that it refuses. A tombstone ends nothing here: rows of a batch
// are the caller's to erase. Links do not change sessions.
type lineFn struct {
	Spec Spec
	d    *event.Decoder
}

// Setup makes the decoder.
func (fn *lineFn) Setup() (err error) {
	fn.d, err = event.NewDecoder(fn.Spec.Event)
	return err
}

// ProcessElement emits the event as an accumulator of its own, behind its place,
// time and device.
func (fn *lineFn) ProcessElement(offset int64, record []byte, emit func([]byte)) {
	var e event.Event
	if fn.d.Decode(record, fn.Spec.Trust, 0, &e) != nil || e.Kind.Control() {
		return
	}
	e.Offset = offset
	var w codec.Writer
	w.Int(offset)
	w.Int(e.Time)
	w.Int(e.Receipt)
	w.Fixed(e.ID)
	w.String(e.Device)
	emit(session.Accumulate(w.B, &e))
}

// timelyFn lets the events go that a session may have: which are late is decided
// by the data clock, in the order of the log. What comes later, and is not a dead
// letter, changes no session.
type timelyFn struct{ Spec Spec }

// ProcessElement judges a log.
func (fn *timelyFn) ProcessElement(_ []byte, next func(*[]byte) bool, emit func(beam.EventTime, string, []byte)) error {
	type line struct {
		event.Event
		acc []byte
	}
	var lines []line
	for b := []byte(nil); next(&b); b = nil {
		r := codec.Reader{B: b}
		lines = append(lines, line{Event: event.Event{Offset: r.Int(), Time: r.Int(), Receipt: r.Int(), ID: r.Fixed(), Device: r.String()}})
		if r.Err() != nil {
			return fmt.Errorf("judging events: %w", r.Err())
		}
		lines[len(lines)-1].acc = r.B
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.Offset, b.Offset) })
	type known struct {
		device string
		event  uint64
	}
	seen := map[known]bool{}
	var clock identity.DataClock
	for i := range lines {
		l := &lines[i]
		if clock.Time > 0 && l.Time < clock.Time-fn.Spec.LatenessMS {
			continue
		}
		emit(mtime.Time(l.Time), l.Device, l.acc)
		if k := (known{l.Device, l.ID}); !seen[k] { // a duplicate moves no clock
			seen[k] = true
			clock.Take(&l.Event, event.NewestSemantics)
		}
	}
	return nil
}

// sessionFn merges accumulators: concatenation.
type sessionFn struct{}

// CreateAccumulator is the zero.
func (*sessionFn) CreateAccumulator() []byte { return nil }

// AddInput merges an event in.
func (*sessionFn) AddInput(acc, e []byte) []byte { return append(acc[:len(acc):len(acc)], e...) }

// MergeAccumulators merges two sessions' events.
func (*sessionFn) MergeAccumulators(a, b []byte) []byte { return append(a[:len(a):len(a)], b...) }

// sessionRowFn folds each session and makes its row.
type sessionRowFn struct {
	Spec  Spec
	built *Built
}

// Setup compiles the spec.
func (fn *sessionRowFn) Setup() (err error) {
	fn.built, err = fn.Spec.Build()
	return err
}

// ProcessElement makes one row.
func (fn *sessionRowFn) ProcessElement(device string, acc []byte, emit func(rows.Batch)) error {
	st, err := session.FoldAccumulator(acc, &fn.built.Identity.Session)
	if err != nil {
		return fmt.Errorf("folding a session of %s: %w", device, err)
	}
	b := rows.NewSessionBuilder()
	row := sessionRow(fn.Spec.Site, &identity.SessionRow{Device: device, Person: "d:" + device, Start: st.Fold.Start, Fold: st.Fold, Version: 1})
	b.Append(&row)
	return emitRows(b, 0, emit)
}
