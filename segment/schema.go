// Package segment decides where a visitor stands in the tree of segments:
// predicates in CEL syntax over a flat feature vector, the earliest time at
// which each may change without an event, the path, and which segments have
// enough of an audience to be served.
package segment

import (
	"math"

	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// Derived features change as time passes, without events.
const (
	derivedLive = iota
	derivedLong
	derivedIntent
	derivedWeight
	derivedStale
	derivedIdle
	derivedCartAge
	derivedOpen
	derivedDuration
	derivedLinked
	derivedDevices
	numDerived
)

// Feature is a name that predicates may use.
type Feature struct {
	Name    string
	Unit    string
	Doc     string
	Enum    []string // names of the codes, nil for numbers
	Bool    bool
	Whole   bool    // takes whole numbers only
	Max     float64 // inclusive upper end of the domain, +Inf for none; the lower end is 0
	Session bool    // 0, or unknown, without an open session
	slot    session.Slot
	kind    int   // -1 for a stored feature, else the derived one
	tree    *Tree // of the served segment, whose codes are its nodes; else nil
}

// Varies reports whether the feature changes with time alone, other than by
// the end of a session.
func (f *Feature) Varies() bool {
	return f.kind >= derivedLive && f.kind <= derivedCartAge
}

// Schema is the feature catalogue for one set of elements.
type Schema struct {
	stored  []session.Feature
	byName  map[string]*Feature
	names   []string
	segment session.Slot // of the served segment, -1 in a schema for segments
}

// Slot is where a stored feature stands in View.Values; ok is false for a
// derived one.
func (f *Feature) Slot() (slot session.Slot, ok bool) { return f.slot, f.kind < 0 }

// NewSchema returns the catalogue: the stored features of session.Catalogue and
// those derived from them and from time.
func NewSchema(elements []string) *Schema {
	s := &Schema{stored: session.Catalogue(elements), byName: map[string]*Feature{}, segment: -1}
	for slot := range s.stored {
		f := &s.stored[slot]
		if f.Hidden {
			continue
		}
		s.add(&Feature{Name: f.Name, Unit: f.Unit, Doc: f.Doc, Enum: f.Enum, Max: upper(f.Max), Session: f.Session,
			Whole: f.Unit == "count" && session.Slot(slot) != session.SlotCartItems, // a cart may hold 1.5 kg
			slot:  session.Slot(slot), kind: -1})
	}
	inf := math.Inf(1)
	for _, f := range []Feature{
		{Name: "live", Unit: "1", Doc: "decayed sum of signal weights, live half-life", Max: inf, kind: derivedLive},
		{Name: "long", Unit: "1", Doc: "decayed sum of signal weights, long half-life", Max: inf, kind: derivedLong},
		{Name: "intent", Unit: "1", Doc: "1 − 2^(−live/κ), below 1", Max: 1, kind: derivedIntent},
		{Name: "signal_weight", Unit: "1", Doc: "recent against long-term behaviour; comparisons are false without events", Max: 1, kind: derivedWeight},
		{Name: "stale_share", Unit: "1", Doc: "1 − signal_weight", Max: 1, kind: derivedStale},
		{Name: "idle_s", Unit: "s", Doc: "time since the last event", Max: inf, kind: derivedIdle},
		{Name: "cart.age_s", Unit: "s", Doc: "time since the last change of the cart; 0 while it is empty", Max: inf, kind: derivedCartAge},
		{Name: "session.open", Doc: "a session is open", Bool: true, Max: 1, Session: true, kind: derivedOpen},
		{Name: "session.duration_s", Unit: "s", Doc: "from the start of the open session to the last event", Max: inf, Session: true, kind: derivedDuration},
		{Name: "linked", Doc: "the person has a userId", Bool: true, Max: 1, kind: derivedLinked},
		{Name: "devices", Unit: "count", Doc: "devices of the person", Max: inf, Whole: true, kind: derivedDevices},
	} {
		s.add(&f)
	}
	return s
}

func upper(v float64) float64 {
	if v == 0 {
		return math.Inf(1)
	}
	return v
}

func (s *Schema) add(f *Feature) {
	s.byName[f.Name] = f
	s.names = append(s.names, f.Name)
}

// Stored are the stored features by slot, hidden ones included.
func (s *Schema) Stored() []session.Feature { return s.stored }

// Features are the features in the order of the catalogue.
func (s *Schema) Features() []*Feature {
	out := make([]*Feature, len(s.names))
	for i, n := range s.names {
		out[i] = s.byName[n]
	}
	return out
}

// Params are the constants of evaluation.
type Params struct {
	HalfLives signal.HalfLives
	Kappa     float64
	RefreshMS int64 // grid on which anything without a closed form is looked at
	GapMS     int64 // session gap
}

// View is what predicates are evaluated on: a person at the newest event, or
// later. It stays right without events until SessionEnd.
type View struct {
	Live, Long signal.Decayed
	Last       int64 // newest event, ms
	SessionEnd int64 // when the next session of a device closes, ms; then its owner must rebuild the view
	Linked     bool
	Devices    int
	Values     []float64 // by session.Slot, merged over devices
}

// at is the value of a derived feature at t (ms); ok is false where it is undefined.
func (v *View) at(kind int, t int64, p *Params) (x float64, ok bool) {
	switch kind {
	case derivedLive:
		return v.Live.At(t, p.HalfLives.Live), true
	case derivedLong:
		return v.Long.At(t, p.HalfLives.Long), true
	case derivedIntent:
		return signal.Intent(v.Live.At(t, p.HalfLives.Live), p.Kappa), true
	case derivedWeight:
		return signal.Weight(v.Live, v.Long, t, p.HalfLives)
	case derivedStale:
		x, ok = signal.Weight(v.Live, v.Long, t, p.HalfLives)
		return 1 - x, ok
	case derivedIdle: // a view may be asked for an instant before its newest event
		return max(0, float64(t-v.Last)/1000), true
	case derivedCartAge:
		if v.Values[session.SlotCartChanged] == 0 {
			return 0, true
		}
		return max(0, (float64(t)-v.Values[session.SlotCartChanged])/1000), true
	case derivedOpen:
		return truth(t < v.SessionEnd), true
	case derivedDuration:
		if start := v.Values[session.SlotStart]; start > 0 && t < v.SessionEnd {
			return (float64(v.Last) - start) / 1000, true
		}
		return 0, true
	case derivedLinked:
		return truth(v.Linked), true
	case derivedDevices:
		return float64(v.Devices), true
	}
	return 0, false
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Value is the value of a feature at t (ms); ok is false where it is undefined.
func (f *Feature) Value(v *View, t int64, p *Params) (x float64, ok bool) {
	if f.kind >= 0 {
		return v.at(f.kind, t, p)
	}
	if f.Session && t >= v.SessionEnd {
		return 0, true
	}
	return v.Values[f.slot], true
}

// Feature is the feature of that name, nil if there is none.
func (s *Schema) Feature(name string) *Feature { return s.byName[name] }
