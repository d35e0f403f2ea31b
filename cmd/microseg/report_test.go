package main

import (
	"errors"
	"testing"

	"github.com/microseg/microseg/config"
)

// TestDemoIsNotJudgedByItsWaiting: a newcomer's first command ended with "health NOT
// OK", since 100,000 recorded events at full speed had waited in the log for 0.8 s.
func TestDemoIsNotJudgedByItsWaiting(t *testing.T) {
	t.Parallel()
	for site, judged := range map[string]bool{"demo-20261128-034527": false, "demo": true, "demo-shop": true, "": true} {
		th := thresholds(config.Default(), site)
		if (th.Refresh > 0) != judged || (th.Budgets.Compute > 0) != judged || th.Budgets.Ingest == 0 || th.SinkLag == 0 {
			t.Errorf("site %q: %+v", site, th)
		}
	}
	if c := config.Default(); c.Health.Budgets.Compute == 0 {
		t.Error("the configuration was changed")
	}
}

// TestMistyped: who mistypes a command or flag is told where they are listed.
func TestMistyped(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"unknown flag: --visitor":                         "unknown flag: --visitor; --help lists what there is",
		`unknown command "frobnicate" for "microseg"`:     `unknown command "frobnicate" for "microseg"; --help lists what there is`,
		"the log at 127.0.0.1:9092 knows no such command": "the log at 127.0.0.1:9092 knows no such command",
	} {
		if got := withHelp(errors.New(text)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
