package rule

import (
	"github.com/microseg/microseg/segment"
)

// FindingKind is what is wrong with a rule or an action.
type FindingKind uint8

// What Check finds.
const (
	Conflict       FindingKind = iota // two rules of equal priority can fill the slot at once
	Undecidable                       // the same cannot be ruled out: arithmetic, or too many cases
	NeverFires                        // the rule contradicts itself
	Shadowed                          // others of higher priority always take the slot
	ReadsLive                         // an edge slot's rule reads what an edge does not know
	CannotBeProved                    // too many cases to say whether the rule fires, or is shadowed
)

// Finding is something that is wrong with a rule.
type Finding struct {
	Kind     FindingKind
	Rule     *Rule
	Action   int             // index in Rule.Actions, -1 where it is about the rule
	Others   []*Rule         // Conflict, Undecidable: the other rule; Shadowed: those that take the slot, none of which can be left out
	Witness  segment.Witness // Conflict: a visitor for whom both hold; Undecidable: a guess, may be nil
	Features []string        // ReadsLive: what is read
}

// Check proves what can go wrong, with at most so many steps a question (see
// segment.Satisfiable) and a hundred times as many altogether. Conflicts are
// reported at the later rule. Overlaps of different priorities are legal and
// not reported. For the prover segment and live features are independent:
// what is served may be above the visitor's own segment, whose conditions
// say nothing then.
func (s *Set) Check(steps int) []Finding {
	c := checker{set: s, budget: segment.NewBudget(steps), dead: map[*Rule]bool{}}
	for _, r := range s.rules {
		c.fires(r)
	}
	for _, r := range s.rules {
		for i := range r.Actions {
			c.edge(r, i)
			if c.dead[r] {
				continue // said once
			}
			c.conflicts(r, i)
			c.shadowed(r, i)
		}
	}
	return c.found
}

type checker struct {
	set    *Set
	budget *segment.Budget
	dead   map[*Rule]bool
	found  []Finding
}

func (c *checker) report(f Finding) { c.found = append(c.found, f) }

func (c *checker) fires(r *Rule) {
	switch _, answer := c.budget.Satisfiable(segment.Term{Predicate: r.When, Holds: true}); answer {
	case segment.Never:
		c.dead[r] = true
		c.report(Finding{Kind: NeverFires, Rule: r, Action: -1})
	case segment.Undecided:
		c.report(Finding{Kind: CannotBeProved, Rule: r, Action: -1})
	}
}

// edge looks for features that an edge does not know.
func (c *checker) edge(r *Rule, i int) {
	if !c.set.slots[r.Actions[i].SlotID].Edge {
		return
	}
	var live []string
	for _, f := range r.When.Features {
		if !ofRequest(f) {
			live = append(live, f.Name)
		}
	}
	if live != nil {
		c.report(Finding{Kind: ReadsLive, Rule: r, Action: i, Features: live})
	}
}

// conflicts looks at the earlier rules of the same priority.
func (c *checker) conflicts(r *Rule, i int) {
	a := r.Actions[i]
	for _, o := range c.set.bySlot[a.SlotID] {
		if o.Priority != a.Priority || o.Rule.Index >= r.Index {
			continue
		}
		w, answer := c.budget.Satisfiable(segment.Term{Predicate: r.When, Holds: true}, segment.Term{Predicate: o.Rule.When, Holds: true})
		f := Finding{Kind: Conflict, Rule: r, Action: i, Others: []*Rule{o.Rule}, Witness: w}
		switch {
		case answer == segment.Never:
			continue
		case answer == segment.Undecided || r.When.Arithmetic() || o.Rule.When.Arithmetic():
			f.Kind = Undecidable
		}
		c.report(f)
	}
}

// shadowed asks whether somebody is left to the action by those of higher
// priority. A public rule is also decided for visitors whose segment is only
// claimed, for whom no other rule is; so only public ones can shadow it. An
// offer ends, and its slot is free then: it shadows nothing.
func (c *checker) shadowed(r *Rule, i int) {
	a := r.Actions[i]
	var higher []*Rule
	for _, o := range c.set.bySlot[a.SlotID] {
		if o.Priority > a.Priority && o.Offer == "" && (o.Rule.Public || !r.Public) && !c.dead[o.Rule] {
			higher = append(higher, o.Rule)
		}
	}
	taken := func(by []*Rule) segment.Answer {
		terms := []segment.Term{{Predicate: r.When, Holds: true}}
		for _, o := range by {
			terms = append(terms, segment.Term{Predicate: o.When})
		}
		_, answer := c.budget.Satisfiable(terms...)
		return answer
	}
	if len(higher) == 0 {
		return
	}
	switch taken(higher) {
	case segment.Never:
		by := segment.Fewest(higher, func(some []*Rule) bool { return taken(some) == segment.Never })
		c.report(Finding{Kind: Shadowed, Rule: r, Action: i, Others: by})
	case segment.Undecided:
		c.report(Finding{Kind: CannotBeProved, Rule: r, Action: i})
	}
}
