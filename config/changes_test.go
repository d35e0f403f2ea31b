package config

import (
	"strings"
	"testing"
	"time"
)

// TestChanges: what a running process may take is what is shown and when an
// alert is raised; what decides is not, and neither is a setting that nobody
// has thought of.
func TestChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		change  func(c *Config)
		path    string
		running bool
	}{
		{func(c *Config) { c.Segments[0].Title = "Keen" }, "segments[0].title", true},
		{func(c *Config) { c.Segments[0].Children[1].Title = "Left" }, "segments[0].children[1].title", true},
		{func(c *Config) { c.Segments[0].When = "intent > 0.7" }, "segments[0].when", false},
		{func(c *Config) { c.Segments[0].Name = "hot" }, "segments", false},
		{func(c *Config) { c.Segments[0].Children = c.Segments[0].Children[1:] }, "segments[0].children", false},
		{func(c *Config) { c.Rules[1].Actions[0].Data["text"] = "20% off" }, "rules[1].actions[0].data", true},
		{func(c *Config) { c.Rules = c.Rules[1:] }, "rules", true},
		{func(c *Config) { c.Templates["banner"] = "<p>new</p>" }, "templates", true},
		{func(c *Config) { c.Health.RefreshLatency = time.Second }, "health.refresh_latency", true},
		{func(c *Config) { c.Health.Budgets.Whole = time.Second }, "health.budgets.whole", true},
		{func(c *Config) { c.Health.Window = time.Hour }, "health.window", true},
		{func(c *Config) { c.Audience.Activate = 0.2 }, "audience.activate", false},
		{func(c *Config) { c.Session.Gap = time.Hour }, "session.gap", false},
		{func(c *Config) { c.Site = "other" }, "site", false},
	} {
		newer := Default()
		test.change(newer)
		got := Default().Changes(newer)
		if len(got) != 1 || got[0] != (Change{test.path, test.running}) {
			t.Errorf("%s: got %v", test.path, got)
		}
	}
	if got := Default().Changes(Default()); got != nil {
		t.Errorf("the same configuration differs in %v", got)
	}
}

// TestEveryStringOfAPathIsNamed: a setting without a name in the file could
// change without anybody being told.
func TestEveryStringOfAPathIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range Default().Changes(&Config{}) {
		if c.Path == "" || strings.HasSuffix(c.Path, ".") {
			t.Errorf("a change without a path: %+v", c)
		}
	}
}
