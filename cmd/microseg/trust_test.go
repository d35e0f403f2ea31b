package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/node"
)

// TestTrustNotes: a site that verifies and has no key had no persons across devices,
// and one that verified nothing believed everybody; neither was told.
func TestTrustNotes(t *testing.T) {
	t.Setenv(node.EnvServerKeys, "")
	t.Setenv(node.EnvIdentityKeys, "")
	var out strings.Builder
	if err := check(&out, ""); err != nil {
		t.Fatal(err)
	}
	expect(t, out.String(), "nothing can prove a userId")
	expect(t, out.String(), "identity.legacy_until is not stated")
	if n := trustNotes(config.Demo(), true); len(n) != 1 || !strings.Contains(n[0], "anybody with the public write key") {
		t.Errorf("off: %q", n)
	}
	t.Setenv(node.EnvServerKeys, strings.Repeat("k", 64))
	cfg := config.Default()
	cfg.Identity.LegacyUntil = "2026-01-01"
	if n := trustNotes(cfg, true); n != nil {
		t.Errorf("all is set: %q", n)
	}
}

// TestTrustHealth: the counts and the note are in the JSON.
func TestTrustHealth(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(newTrustHealth(config.Default(), collect.Identified{Claimed: 3, Refused: 1}))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, string(b), `"server":0,"proven":0,"claimed":3,"refused":1`)
	expect(t, string(b), "no proof has ever been seen")
	h := newTrustHealth(config.Default(), collect.Identified{Proven: 1, Claimed: 3})
	if strings.Contains(strings.Join(h.lines(), "\n"), "ever been seen") {
		t.Errorf("a proof was seen: %q", h.Notes)
	}
}
