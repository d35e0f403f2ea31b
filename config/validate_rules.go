package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
)

var ruleName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

const ruleNameAdvice = "use 1 to 64 lower-case letters, digits, _ and -, a letter first"

// Limits on rules: pairs of them are proved, and every request decides them.
const (
	maxRules    = 1000
	maxSlots    = 100
	maxTTL      = 24 * time.Hour
	maxDeadline = 30 * 24 * time.Hour
	maxCap      = 90 * 24 * time.Hour
)

func (c *Config) validateRules() Problems {
	out := append(c.validateSlots(), c.validateTemplates()...)
	if len(c.Rules) > maxRules {
		return append(out, c.problem("rules", "%d rules; at most %d, merge some", len(c.Rules), maxRules))
	}
	for i, r := range c.Rules {
		path := fmt.Sprintf("rules[%d]", i)
		if !ruleName.MatchString(r.Name) {
			out = append(out, c.problem(path+".name", "%q names no rule; %s", r.Name, ruleNameAdvice))
		}
		if r.Offer != "" && !ruleName.MatchString(r.Offer) {
			out = append(out, c.problem(path+".offer", "%q names no offer; %s", r.Offer, ruleNameAdvice))
		}
		for _, b := range []bound{
			span(path+".cap", r.Cap, 0, maxCap),
			{path + ".cap", r.Cap%time.Second == 0, "a cap counts whole seconds; write 24h or a multiple of 1s"},
		} {
			if !b.ok {
				out = append(out, c.problem(b.path, "%s", b.advice))
			}
		}
		if len(r.Actions) == 0 {
			out = append(out, c.problem(path+".actions", "a rule without an action does nothing; give it one, or remove it"))
		}
		for j, a := range r.Actions {
			out = append(out, c.validateAction(fmt.Sprintf("%s.actions[%d]", path, j), a)...)
		}
	}
	for _, e := range rule.Validate(c.RuleSlots(), c.RuleSpecs()) {
		out = append(out, c.ruleProblems(e)...)
	}
	return out
}

func (c *Config) validateSlots() (out Problems) {
	if len(c.Slots) > maxSlots {
		return Problems{c.problem("slots", "%d slots; at most %d, merge some", len(c.Slots), maxSlots)}
	}
	for i, s := range c.Slots {
		path := fmt.Sprintf("slots[%d].name", i)
		switch {
		case !ruleName.MatchString(s.Name):
			out = append(out, c.problem(path, "%q cannot stand in the address of a fragment; %s", s.Name, ruleNameAdvice))
		case slices.ContainsFunc(c.Slots[:i], func(o Slot) bool { return o.Name == s.Name }):
			out = append(out, c.problem(path, "another slot is called %q too; rename one", s.Name))
		}
	}
	return out
}

func (c *Config) validateTemplates() (out Problems) {
	for _, name := range slices.Sorted(maps.Keys(c.Templates)) {
		if !ruleName.MatchString(name) {
			out = append(out, c.problem("templates."+name, "%q names no template; %s", name, ruleNameAdvice))
		}
	}
	_, err := c.RuleTemplates()
	if p := (Problems{}); errors.As(err, &p) {
		out = append(out, p...)
	}
	return out
}

func (c *Config) validateAction(path string, a Action) (out Problems) {
	for _, b := range []bound{
		span(path+".ttl", a.TTL, 0, maxTTL),
		{path + ".ttl", a.TTL <= 0 || a.TTL >= time.Second, "a second is the shortest; write 1s or more, or leave it out for 1m"},
		span(path+".deadline", a.Deadline, 0, maxDeadline),
		{path + ".deadline", a.Deadline%time.Second == 0, "a countdown shows whole seconds; write a multiple of 1s"},
		count(path+".priority", a.Priority, -1_000_000, 1_000_000),
	} {
		if !b.ok {
			out = append(out, c.problem(b.path, "%s", b.advice))
		}
	}
	if _, ok := c.Templates[a.Template]; !ok {
		out = append(out, c.problem(path+".template", "there is no template %q; it is one of %s%s", a.Template,
			strings.Join(slices.Sorted(maps.Keys(c.Templates)), ", "), segment.DidYouMean(a.Template, slices.Sorted(maps.Keys(c.Templates)))))
	}
	return out
}
