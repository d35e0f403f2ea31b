package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
)

// checkRules compiles the rules and proves what can go wrong with them; open
// are those of which too little can be said.
func (c *Config) checkRules(tree *segment.Tree) (wrong, open []Problem) {
	set, err := c.RuleSet(tree)
	if p := (Problems{}); errors.As(err, &p) {
		return p, nil
	}
	for _, f := range set.Check(segment.DefaultSteps) {
		if p := c.findingProblem(f); f.Kind == rule.CannotBeProved {
			open = append(open, p)
		} else {
			wrong = append(wrong, p)
		}
	}
	return wrong, open
}

// findingProblem says what a finding means, where, and what to do about it.
func (c *Config) findingProblem(f rule.Finding) Problem {
	path, name := fmt.Sprintf("rules[%d]", f.Rule.Index), f.Rule.Name
	if f.Action < 0 {
		path += ".when"
		if f.Kind == rule.NeverFires {
			return c.problem(path, "rule %s can never fire, its source and condition contradict each other; change one or remove the rule", name)
		}
		return c.problem(path, "rule %s has too many cases to prove that it can fire; split it into several", name)
	}
	path = fmt.Sprintf("%s.actions[%d]", path, f.Action)
	a := f.Rule.Actions[f.Action]
	switch f.Kind {
	case rule.Conflict:
		return c.problem(path, "slot %s, priority %d: rules %s and %s can hold at once, as for %s; give one a higher priority, or let them exclude each other",
			a.Slot, a.Priority, f.Others[0].Name, name, visitor(f.Witness))
	case rule.Undecidable:
		why := "there are too many cases to tell"
		if f.Witness != nil || f.Rule.When.Arithmetic() || f.Others[0].When.Arithmetic() {
			why = "arithmetic is not looked into; perhaps for " + visitor(f.Witness)
		}
		return c.problem(path, "slot %s, priority %d: it cannot be decided whether rules %s and %s can hold at once (%s); give one a higher priority",
			a.Slot, a.Priority, f.Others[0].Name, name, why)
	case rule.Shadowed:
		return c.problem(path, "slot %s: %s whenever rule %s holds; raise its priority of %d, narrow what takes its visitors, or remove the action",
			a.Slot, takers(f.Others), name, a.Priority)
	case rule.ReadsLive:
		return c.problem(path, "slot %s is kept at the edge, which does not know %s; use segment, page.type and device.type alone, or another slot",
			a.Slot, strings.Join(f.Features, ", "))
	}
	return c.problem(path, "slot %s: too many cases to prove that rule %s ever wins it; split the rule into several", a.Slot, name)
}

func visitor(w segment.Witness) string {
	if len(w) == 0 {
		return "any visitor"
	}
	return "a visitor with " + w.String()
}

func takers(list []*rule.Rule) string {
	names := make([]string, len(list))
	for i, r := range list {
		names[i] = r.Name
	}
	if len(names) == 1 {
		return "rule " + names[0] + " wins it"
	}
	return "rules " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " together win it"
}
