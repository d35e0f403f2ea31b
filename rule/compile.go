package rule

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

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

// Compile compiles the rules with a compiler of segment.NewRuleSchema. Names of
// slots must differ. Errors are one or several joined *Error, those of all rules.
func Compile(c *segment.Compiler, slots []Slot, specs []Spec) (*Set, error) {
	s := &Set{slots: slices.Clone(slots), bySlot: make([][]*Action, len(slots)), slotIDs: map[string]int{}}
	for i, slot := range slots {
		s.slotIDs[slot.Name] = i
	}
	var errs []error
	for _, spec := range specs {
		if err := s.add(c, spec); err != nil {
			errs = append(errs, err...)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	var all []*segment.Predicate
	for _, r := range s.rules {
		all = append(all, r.When)
	}
	for _, list := range s.bySlot {
		slices.SortStableFunc(list, func(a, b *Action) int { return cmp.Compare(b.Priority, a.Priority) })
	}
	s.truths = segment.NewTruths(ofRequest, all...)
	s.stored = segment.All(all...).Slots()
	return s, nil
}

func (s *Set) add(c *segment.Compiler, spec Spec) (errs []error) {
	r := &Rule{Name: spec.Name, Title: spec.Title, Public: spec.Public, Gives: spec.Gives, Index: len(s.rules)}
	s.rules = append(s.rules, r)
	fail := func(err error, format string, args ...any) {
		errs = append(errs, &Error{r.Index, r.Name, fmt.Sprintf(format, args...), err})
	}
	if slices.ContainsFunc(s.rules[:r.Index], func(o *Rule) bool { return o.Name == r.Name }) {
		fail(errors.New("another rule has this name; rename one"), "name")
	}
	if r.Public && r.Gives {
		fail(errors.New("what is given away must not be had for a word; a public rule cannot give"), "public")
	}
	parts := s.sources(c, spec.Source, fail)
	if spec.When != "" {
		p, err := c.Compile(spec.When)
		if err != nil {
			fail(err, "when")
		} else {
			parts = append(parts, p)
		}
	}
	r.When = segment.All(parts...)
	used := map[int]bool{}
	for i, a := range spec.Actions {
		id, ok := s.slotIDs[a.Slot]
		switch {
		case !ok:
			fail(fmt.Errorf("there is no slot %q; it is one of %s", a.Slot, s.slotNames()), "actions[%d].slot", i)
			continue
		case used[id]:
			fail(fmt.Errorf("the rule fills slot %s twice; remove one action", a.Slot), "actions[%d].slot", i)
		}
		used[id] = true
		action := &Action{ActionSpec: a, Rule: r, SlotID: id}
		r.Actions = append(r.Actions, action)
		s.bySlot[id] = append(s.bySlot[id], action)
	}
	return errs
}

// sources compiles the lists of a source.
func (s *Set) sources(c *segment.Compiler, src Source, fail func(error, string, ...any)) (out []*segment.Predicate) {
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
				fail(err, "source.%s[%d]", l.key, i)
				known = false
			}
		}
		if !known {
			continue
		}
		p, err := c.Compile(l.feature + " in [" + strings.Join(quoted, ", ") + "]")
		if err != nil {
			fail(err, "source.%s", l.key)
			continue
		}
		out = append(out, p)
	}
	return out
}

func (s *Set) slotNames() string {
	names := make([]string, len(s.slots))
	for i := range s.slots {
		names[i] = s.slots[i].Name
	}
	return strings.Join(names, ", ")
}
