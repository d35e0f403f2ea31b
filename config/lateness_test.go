package config

import (
	"slices"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
)

// TestLateness: one duration stays readable, and is the short class; the older
// spelling of the key is read, and problems name its place.
func TestLateness(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text        string
		short, long time.Duration
		kinds       []event.Kind
	}{
		{"site: a", 10 * time.Minute, 24 * time.Hour, nil},
		{"lateness: 3m", 3 * time.Minute, 24 * time.Hour, nil},
		{"allowed_lateness: 2d", 48 * time.Hour, 24 * time.Hour, nil},
		{"lateness: {long: 2d}", 10 * time.Minute, 48 * time.Hour, nil},
		{"lateness:\n  short: 1m\n  long: 6h\n  events: [Subscription Renewed, Product Added]", time.Minute, 6 * time.Hour, []event.Kind{event.FirstCustom, event.KindCartAdd}},
	} {
		cfg, err := Parse([]byte(c.text+"\n"), "a.yaml")
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if cfg.Lateness.Short != c.short || cfg.Lateness.Long != c.long || !slices.Equal(cfg.Patient(), c.kinds) {
			t.Errorf("%s: %+v %v", c.text, cfg.Lateness, cfg.Patient())
		}
	}
	for text, want := range map[string]string{
		"site: a\nallowed_lateness: 9d": "a.yaml:2:19: ",
		"lateness: {long: 1m}":          "a.yaml:1:18: ",
		"lateness: {longer: 1m}":        "a.yaml:1:",
		"lateness: soon":                "a.yaml:1:",
	} {
		if _, err := Parse([]byte(text+"\n"), "a.yaml"); err == nil || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
			t.Errorf("%s: %v, not at %s", text, err, want)
		}
	}
}
