// Package rule decides what a visitor is shown: rules of a source and a
// condition, whose actions fill named slots by priority. Conditions are those
// of package segment, over what is served, the request's page and device, and
// the visitor's live features; so the prover of segments proves rules, too.
package rule

import (
	"time"

	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

// Spec is a rule as configured.
type Spec struct {
	Name, Title string
	Source      Source
	When        string        // empty: always
	Public      bool          // a segment that is only claimed is believed
	Gives       bool          // gives something away: the segment must be proved
	Offer       string        // name of the offer that it makes; empty: the rule's own name
	Cap         time.Duration // no new one of the offer for so long after it was granted; 0: none
	Actions     []ActionSpec
}

// Source says where a rule may hold; an empty list is no restriction.
type Source struct {
	Segments []string // names of segments, or ends of their paths: the served one or one above it
	Pages    []string // page types of the request
	Devices  []string // device types of the request
}

// ActionSpec fills a slot.
type ActionSpec struct {
	Slot     string
	Priority int // the highest wins the slot
	Template string
	TTL      time.Duration     // so long a page or an edge may keep it
	Deadline time.Duration     // of its countdown, from when it is granted; 0: none
	Data     map[string]string // for the template and the page
}

// Slot is a place in the page. What fills an edge slot may depend on segment,
// page and device type alone, since an edge keeps it for all visitors.
type Slot struct {
	Name, Title string
	Edge        bool
}

// Action is a compiled action.
type Action struct {
	ActionSpec
	Rule   *Rule
	SlotID int    // index in Set.Slots
	Offer  string // name of the offer that it is: with a deadline, or of a rule with a cap; else empty
}

// Rule is a compiled rule.
type Rule struct {
	Name, Title   string
	Public, Gives bool
	Cap           time.Duration
	When          *segment.Predicate // source and condition
	Actions       []*Action
	Index         int // in the order of the file
}

// Set is the compiled rules. It is safe for concurrent use.
type Set struct {
	slots    []Slot
	rules    []*Rule
	bySlot   [][]*Action // of each slot, in the order in which they win
	outcomes *segment.Outcomes
	stored   []session.Slot
}

// Slots are the slots in the order of the file; not to be changed.
func (s *Set) Slots() []Slot { return s.slots }

// Rules are the rules in the order of the file; not to be changed.
func (s *Set) Rules() []*Rule { return s.rules }

// Slot is the index of the slot of that name.
func (s *Set) Slot(name string) (id int, ok bool) {
	id = indexOf(s.slots, name)
	return id, id >= 0
}

// Stored are the stored features that rules read, in order: what a record of a
// visitor must hold for the rules to be decided, beside what is decayed.
func (s *Set) Stored() []session.Slot { return s.stored }

// Outcomes is a fingerprint of the truth of every comparison in the rules that
// changes with events alone, at now (ms): when it differs from the one before,
// rules may decide differently. The request's own features and the served
// segment are no part of it, nor is what moves with time; v.Values need not
// have the segment's slot. It allocates nothing.
func (s *Set) Outcomes(v *segment.View, now int64) uint64 { return s.outcomes.Of(v, now) }

// Why lists the comparisons of a rule with their values at now (ms).
func (r *Rule) Why(v *segment.View, now int64) []segment.Condition { return r.When.Explain(v, now) }
