package pipelines

import (
	"reflect"
	"testing"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/transforms"
)

// fixture is the configuration of testing/upgrade, as the job of that site.
func fixture(t *testing.T, edit func(*config.Config)) *transforms.Built {
	t.Helper()
	cfg, err := config.Load("../testing/upgrade/fixture/semantics1/microseg.yaml")
	if err != nil {
		t.Fatal(err)
	}
	edit(cfg)
	spec, err := SpecOf(cfg, "events", 6)
	if err != nil {
		t.Fatal(err)
	}
	b, err := spec.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOlderFingerprint: the fingerprints are those that the program of commit
// ab24178 wrote into its manifest (testing/upgrade). It is known again with the same
// configuration, also on a topic that has got partitions since; not with another
// one; and where a key is stated that it did not know, that key is named.
func TestOlderFingerprint(t *testing.T) {
	m := &changelogio.Manifest{Schema: 1, Fingerprint: olderDecides, Reading: olderReading, Machines: make([]changelogio.Part, 5)}
	ask := func(edit func(*config.Config)) (same, sameReading bool, partitions int32, why string) {
		return older(fixture(t, edit), "events")(m)
	}
	if same, reading, n, why := ask(func(*config.Config) {}); !same || !reading || n != 4 || why != "" {
		t.Errorf("the same configuration: %v, %v, %d partitions, %q", same, reading, n, why)
	}
	if same, _, _, _ := ask(func(c *config.Config) { c.Session.Gap += 1e9 }); same {
		t.Error("another session gap is the same configuration")
	}
	if same, reading, _, _ := ask(func(c *config.Config) { c.Future += 1e9 }); !same || reading {
		t.Errorf("another tolerance: %v, %v", same, reading)
	}
}

// The fingerprints in the fixture's manifests.
const (
	olderDecides = "f58d71f2e9bebae1f91c101b81698134"
	olderReading = "6f2b2282db70cd0535848ccf502d8b8c"
)

// TestUnknownToFirst: a setting that version 1 did not have can never be in one of
// its hashes; those that it had are known whatever list they are in.
func TestUnknownToFirst(t *testing.T) {
	t.Parallel()
	for name, unknown := range map[string]bool{"segments[a].when": false, "segments[a].children[b].children[c].min_audience": false, "signals[x].y.above": false,
		"events.pages[3].path": false, "lateness.long": true, "segments[a].exempt": true} {
		if got := unknownToFirst(map[string]string{name: "x"}) != ""; got != unknown {
			t.Errorf("%s is unknown: %v", name, got)
		}
	}
}

// TestNewSettingsHaveDefaults: version 1 had the settings of firstNames and no
// other ones. Whoever adds a setting must not add it there, and gives it a default
// with which older changelogs go on.
func TestNewSettingsHaveDefaults(t *testing.T) {
	b := fixture(t, func(*config.Config) {})
	decides, reading := settings(b, "events")
	for _, s := range []map[string]string{decides, reading} {
		if name := unknownToFirst(s); name != "" {
			t.Errorf("%s = %q is in the fingerprint of a configuration that does not state it: give its tag a default (transforms/settings.go)", name, s[name])
		}
	}
	if len(firstNames) != 45 || reflect.TypeFor[first]().NumField() != 27 {
		t.Errorf("version 1 is not as it was: %d names, %d fields", len(firstNames), reflect.TypeFor[first]().NumField())
	}
}
