package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

// Change is a setting that differs between two configurations.
type Change struct {
	Path string // e.g. "rules[2].when"
	// Running says that a running process can take it; other settings decide, and
	// what was decided with the old ones stays until a restart.
	Running bool
}

// Changes lists what differs in newer, in the order of the settings. Lists of
// another length differ as a whole.
func (c *Config) Changes(newer *Config) (out []Change) {
	differing(reflect.ValueOf(c).Elem(), reflect.ValueOf(newer).Elem(), "", func(path string) {
		out = append(out, Change{path, takenWhileRunning(path)})
	})
	return out
}

// takenWhileRunning reports whether a setting changes what is shown or when an
// alert is raised, and no decision of the job.
func takenWhileRunning(path string) bool {
	section, _, _ := strings.Cut(path, ".")
	section, _, _ = strings.Cut(section, "[")
	switch section {
	case "rules", "slots", "templates", "health":
		return true
	case "segments":
		return strings.HasSuffix(path, ".title")
	}
	return false
}

// differing calls f for the paths at which two values of a type differ.
func differing(a, b reflect.Value, path string, f func(path string)) {
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			field := a.Type().Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			if !field.IsExported() || name == "-" {
				continue
			}
			differing(a.Field(i), b.Field(i), within(path, name), f)
		}
	case reflect.Slice:
		if a.Len() != b.Len() || !slices.Equal(names(a), names(b)) {
			f(path)
			return
		}
		for i := range a.Len() {
			differing(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", path, i), f)
		}
	default:
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			f(path)
		}
	}
}

func within(path, name string) string {
	if path == "" || name == "" {
		return path + name
	}
	return path + "." + name
}

// names are those of a list's items, where they have one: items are only
// compared with those of their own name.
func names(list reflect.Value) (out []string) {
	if list.Type().Elem().Kind() != reflect.Struct {
		return nil
	}
	for i := range list.Len() {
		if n := list.Index(i).FieldByName("Name"); n.IsValid() && n.Kind() == reflect.String {
			out = append(out, n.String())
		}
	}
	return out
}

// Unfit says why a process that was started with c cannot take newer while it
// runs; none: it can. Both must be without problems.
func (c *Config) Unfit(newer *Config) (out Problems) {
	for _, change := range c.Changes(newer) {
		if !change.Running {
			out = append(out, newer.problem(change.Path, "this needs a restart, since it changes decisions"))
		}
	}
	if len(out) > 0 {
		return out
	}
	known, _, err := c.published()
	if err != nil {
		return Problems{c.problem("rules", "%v", err)}
	}
	_, rules, err := newer.published()
	if err != nil {
		return Problems{newer.problem("rules", "%v", err)}
	}
	stored := segment.NewSchema(c.Elements).Stored()
	for i, r := range rules.Rules() {
		for _, slot := range r.When.Slots() {
			if !slices.Contains(known, slot) {
				out = append(out, newer.problem(fmt.Sprintf("rules[%d].when", i),
					"this needs a restart, since the running job does not publish %s", stored[slot].Name))
			}
		}
	}
	return out
}

// published are the stored features that records hold, and the rules for which.
func (c *Config) published() ([]session.Slot, *rule.Set, error) {
	tree, err := c.SegmentTree()
	if err != nil {
		return nil, nil, err
	}
	rules, err := c.RuleSet(tree)
	if err != nil {
		return nil, nil, err
	}
	return tree.Slots(rules.Stored()), rules, nil
}
