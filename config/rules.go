package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
)

// defaultTTL is that of an action that states none.
const defaultTTL = time.Minute

// RuleSlots are the slots for rule.Compile, in the order of the file.
func (c *Config) RuleSlots() []rule.Slot {
	out := make([]rule.Slot, len(c.Slots))
	for i, s := range c.Slots {
		out[i] = rule.Slot{Name: s.Name, Title: s.Title, Edge: s.Edge}
	}
	return out
}

// RuleSpecs are the rules for rule.Compile, in the order of the file.
func (c *Config) RuleSpecs() []rule.Spec {
	out := make([]rule.Spec, len(c.Rules))
	for i, r := range c.Rules {
		out[i] = rule.Spec{Name: r.Name, Title: r.Title, When: r.When, Public: r.Public, Gives: r.Gives, Offer: r.Offer, Cap: r.Cap,
			Source: rule.Source{Segments: slices.Clone(r.Source.Segments), Pages: slices.Clone(r.Source.Pages), Devices: slices.Clone(r.Source.Devices)}}
		for _, a := range r.Actions {
			ttl := a.TTL
			if ttl == 0 {
				ttl = defaultTTL
			}
			out[i].Actions = append(out[i].Actions, rule.ActionSpec{Slot: a.Slot, Priority: a.Priority, Template: a.Template,
				TTL: ttl, Deadline: a.Deadline, Data: maps.Clone(a.Data)})
		}
	}
	return out
}

// TemplateTexts are the templates for rule.NewTemplates.
func (c *Config) TemplateTexts() map[string]string { return maps.Clone(c.Templates) }

// RuleSet compiles the rules against the tree of SegmentTree. Errors are
// Problems, those of all rules.
func (c *Config) RuleSet(tree *segment.Tree) (*rule.Set, error) {
	compiler := segment.NewCompiler(segment.NewRuleSchema(c.Elements, tree), c.SegmentParams())
	set, err := rule.Compile(compiler, c.RuleSlots(), c.RuleSpecs())
	if err != nil {
		return nil, Problems(c.ruleProblems(err))
	}
	return set, nil
}

// RuleTemplates compiles the templates. Errors are Problems.
func (c *Config) RuleTemplates() (*rule.Templates, error) {
	t, err := rule.NewTemplates(c.Templates)
	if err != nil {
		return nil, Problems(c.templateProblems(err))
	}
	return t, nil
}

func (c *Config) templateProblems(err error) (out []Problem) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			out = append(out, c.templateProblems(e)...)
		}
		return out
	}
	var te *rule.TemplateError
	if errors.As(err, &te) {
		return []Problem{c.problem("templates."+te.Name, "%v", te.Err)}
	}
	return []Problem{c.problem("templates", "%v", err)}
}

// templateData finds actions whose template shows what their data lacks.
func (c *Config) templateData() (out []Problem) {
	templates, err := c.RuleTemplates()
	if err != nil {
		return nil // validate tells of it
	}
	for i, r := range c.Rules {
		for j, a := range r.Actions {
			for _, name := range templates.Missing(a.Template, a.Data) {
				out = append(out, c.problem(fmt.Sprintf("rules[%d].actions[%d].data", i, j),
					"template %s shows .Data.%s, which is missing here; add it, or put {{with .Data.%s}} around it in the template%s",
					a.Template, name, name, segment.DidYouMean(name, slices.Sorted(maps.Keys(a.Data)))))
			}
		}
	}
	return out
}

func (c *Config) ruleProblems(err error) (out []Problem) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			out = append(out, c.ruleProblems(e)...)
		}
		return out
	}
	var re *rule.Error
	if errors.As(err, &re) {
		return c.conditionProblems(fmt.Sprintf("rules[%d].%s", re.Index, re.Part), re.Err)
	}
	return []Problem{c.problem("rules", "%v", err)}
}
