package rule

import (
	"math"

	"github.com/microseg/microseg/segment"
)

// Winner is what fills a slot. Its rule is Action.Rule.
type Winner struct{ Action *Action }

// memo remembers the truth of the first rules during one decision: a rule that
// fills several slots is evaluated once.
type memo struct{ known, holds uint64 }

// Decide appends to out, for each slot in order, the action that wins it at now
// (ms), if one does: of the actions that are allowed and whose rules hold, the
// one with the highest priority, and of equals the first in the file. An offer
// wins one slot only, the first. Before next, later
// than now, the winners stay the same without an event or another request;
// math.MaxInt64 when they always do. allowed may be nil: all are. v.Values
// has the served segment in the schema's SegmentSlot and the request's page
// and device types. Decide allocates nothing but what out needs.
func (s *Set) Decide(v *segment.View, now int64, allowed func(*Action) bool, out []Winner) (winners []Winner, next int64) {
	next = math.MaxInt64
	var m memo
	for id := range s.bySlot {
		a, t := s.first(id, v, now, allowed, out, &m)
		next = min(next, t)
		if a != nil {
			out = append(out, Winner{a})
		}
	}
	return out, next
}

// DecideSlot is Decide for one slot, by its index; ok is false when nothing
// fills it.
func (s *Set) DecideSlot(id int, v *segment.View, now int64, allowed func(*Action) bool) (w Winner, ok bool, next int64) {
	var m memo
	a, next := s.first(id, v, now, allowed, nil, &m)
	return Winner{a}, a != nil, next
}

// first is the first action of a slot whose rule holds, and whose offer has won
// none before. Those behind it do not matter until it, or one before it, changes.
func (s *Set) first(id int, v *segment.View, now int64, allowed func(*Action) bool, before []Winner, m *memo) (won *Action, next int64) {
	next = math.MaxInt64
	for _, a := range s.bySlot[id] {
		if allowed != nil && !allowed(a) || a.Offer != "" && made(a.Offer, before) {
			continue
		}
		r := a.Rule
		bit := uint64(0)
		if r.Index < 64 {
			bit = 1 << r.Index
		}
		if m.known&bit != 0 { // its time is in the next of an earlier slot
			if m.holds&bit != 0 {
				return a, next
			}
			continue
		}
		m.known |= bit
		ok, t := r.When.Eval(v, now)
		next = min(next, t)
		if ok {
			m.holds |= bit
			return a, next
		}
	}
	return nil, next
}

// made reports whether an offer has won a slot.
func made(offer string, winners []Winner) bool {
	for _, w := range winners {
		if w.Action.Offer == offer {
			return true
		}
	}
	return false
}
