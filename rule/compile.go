package rule

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/microseg/microseg/segment"
)

// Error says what is wrong with a rule, and where. It may wrap
// *segment.CompileError.
type Error struct {
	Index int    // of the rule
	Rule  string // its name
	Part  string // "when", "source.pages[1]", "actions[0].slot", "name"
	Err   error
}

func (e *Error) Error() string { return fmt.Sprintf("rule %s: %s: %v", e.Rule, e.Part, e.Err) }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Features of the request; those, and the served segment, are all that an edge knows.
const (
	pageType    = "page.type"
	deviceType  = "device.type"
	segmentName = "segment"
)

func ofRequest(f *segment.Feature) bool {
	return f.Name == pageType || f.Name == deviceType || f.Name == segmentName
}

// Validate finds what is wrong with rules apart from their conditions: names
// that are taken, slots that are not there or filled twice by one rule, and
// public rules that give something away, offers that never end.
func Validate(slots []Slot, specs []Spec) (out []*Error) {
	names := map[string]bool{}
	offers := map[string]*Spec{}
	for i, r := range specs {
		fail := func(part, format string, args ...any) {
			out = append(out, &Error{i, r.Name, part, fmt.Errorf(format, args...)})
		}
		if names[r.Name] {
			fail("name", "another rule is called %q too; rename one", r.Name)
		}
		names[r.Name] = true
		if r.Public && r.Gives {
			fail("gives", "a public rule believes any segment that is claimed, so it must not give anything away; remove public or gives")
		}
		validateOffer(&specs[i], offers, fail)
		filled := map[string]bool{}
		for j, a := range r.Actions {
			part := fmt.Sprintf("actions[%d].slot", j)
			switch {
			case indexOf(slots, a.Slot) < 0:
				fail(part, "there is no slot %q; it is one of %s%s", a.Slot, strings.Join(slotNames(slots), ", "), segment.DidYouMean(a.Slot, slotNames(slots)))
			case filled[a.Slot]:
				fail(part, "the rule fills slot %s twice; remove one action", a.Slot)
			}
			filled[a.Slot] = true
		}
	}
	return out
}

// offer is the name of the offer that an action is, if it is one.
func (s *Spec) offer(a ActionSpec) string {
	switch {
	case a.Deadline == 0 && s.Cap == 0:
		return ""
	case s.Offer != "":
		return s.Offer
	}
	return s.Name
}

// validateOffer looks at a rule's offer; of each name the first rule is in offers.
func validateOffer(r *Spec, offers map[string]*Spec, fail func(part, format string, args ...any)) {
	longest := time.Duration(0)
	for _, a := range r.Actions {
		longest = max(longest, a.Deadline)
	}
	if r.Offer != "" && longest == 0 && r.Cap == 0 {
		fail("offer", "the offer %q has no end: give an action a deadline, or the rule a cap, or remove offer", r.Offer)
		return
	}
	if r.Cap != 0 && r.Cap < longest {
		fail("cap", "a cap of %v ends before the deadline of %v does; write %v or more, or remove it", r.Cap, longest, longest)
	}
	name := r.Offer
	if name == "" {
		name = r.Name
	}
	if longest == 0 && r.Cap == 0 {
		return
	}
	if o := offers[name]; o == nil {
		offers[name] = r
	} else if o.Cap != r.Cap {
		fail("cap", "rules %s and %s make the same offer %q; give both the same cap", o.Name, r.Name, name)
	}
}

func indexOf(slots []Slot, name string) int {
	return slices.IndexFunc(slots, func(s Slot) bool { return s.Name == name })
}

func slotNames(slots []Slot) []string {
	names := make([]string, len(slots))
	for i := range slots {
		names[i] = slots[i].Name
	}
	return names
}

// Compile compiles the rules with a compiler of segment.NewRuleSchema. Errors
// are one or several joined *Error, those of all rules.
func Compile(c *segment.Compiler, slots []Slot, specs []Spec) (*Set, error) {
	s := &Set{slots: slices.Clone(slots), bySlot: make([][]*Action, len(slots))}
	var errs []error
	for _, e := range Validate(slots, specs) {
		errs = append(errs, e)
	}
	for _, spec := range specs {
		errs = append(errs, s.add(c, spec)...)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	all := make([]*segment.Predicate, len(s.rules))
	for i, r := range s.rules {
		all[i] = r.When
		for _, a := range r.Actions {
			s.bySlot[a.SlotID] = append(s.bySlot[a.SlotID], a)
		}
	}
	for _, list := range s.bySlot {
		slices.SortStableFunc(list, func(a, b *Action) int { return cmp.Compare(b.Priority, a.Priority) })
	}
	s.outcomes = segment.NewOutcomes(ofRequest, all...)
	s.stored = segment.All(all...).Slots()
	return s, nil
}

// add compiles a rule; its actions are taken as they are.
func (s *Set) add(c *segment.Compiler, spec Spec) (errs []error) {
	r := &Rule{Name: spec.Name, Title: spec.Title, Public: spec.Public, Gives: spec.Gives, Cap: spec.Cap, Index: len(s.rules)}
	s.rules = append(s.rules, r)
	fail := func(part string, err error) { errs = append(errs, &Error{r.Index, r.Name, part, err}) }
	parts := sources(c, spec.Source, fail)
	if spec.When != "" {
		p, err := c.Compile(spec.When)
		if err != nil {
			fail("when", err)
		} else {
			parts = append(parts, p)
		}
	}
	r.When = segment.All(parts...)
	for _, a := range spec.Actions {
		r.Actions = append(r.Actions, &Action{ActionSpec: a, Rule: r, SlotID: indexOf(s.slots, a.Slot), Offer: spec.offer(a)})
	}
	return errs
}

// sources compiles the lists of a source.
func sources(c *segment.Compiler, src Source, fail func(part string, err error)) (out []*segment.Predicate) {
	for _, l := range []struct {
		key, feature string
		names        []string
	}{{"segments", segmentName, src.Segments}, {"pages", pageType, src.Pages}, {"devices", deviceType, src.Devices}} {
		if len(l.names) == 0 {
			continue
		}
		quoted, known := make([]string, len(l.names)), true
		for i, n := range l.names {
			quoted[i] = strconv.Quote(n)
			// One by one, so that the name that is wrong can be pointed at.
			if _, err := c.Compile(l.feature + " == " + quoted[i]); err != nil {
				var ce *segment.CompileError
				if errors.As(err, &ce) {
					err = errors.New(ce.Reason) // its place is in a text that nobody wrote
				}
				fail(fmt.Sprintf("source.%s[%d]", l.key, i), err)
				known = false
			}
		}
		if !known {
			continue
		}
		p, err := c.Compile(l.feature + " in [" + strings.Join(quoted, ", ") + "]")
		if err != nil {
			fail("source."+l.key, err)
			continue
		}
		out = append(out, p)
	}
	return out
}
