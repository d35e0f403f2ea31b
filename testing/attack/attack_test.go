package attack

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// held are the attacks whose promises hold.
var held = slices.DeleteFunc(names(), func(name string) bool { return name == "audience" })

// TestPromises runs the whole suite, smaller, against a stack of its own. How long
// others wait is reported and no condition, since this machine has other tests to do;
// that none of their events is lost, that nobody sees or changes what is not theirs,
// and that the process comes back, are.
func TestPromises(t *testing.T) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "microseg")
	build := exec.Command("go", "build", "-o", bin, "./cmd/microseg")
	build.Dir = filepath.Dir(string(mod))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the binary: %v\n%s", err, out)
	}
	var said bytes.Buffer
	report, err := Run(t.Context(), Options{Binary: bin, Dir: t.TempDir(), Scale: 0.1, Only: held, Progress: &said})
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	b, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", b)
	for _, r := range report.Attacks {
		for _, breach := range r.Breaches {
			t.Errorf("%s (%s): %s", r.Name, r.Story, breach)
		}
	}
	if len(report.Skipped) > 0 {
		t.Errorf("left out: %v", report.Skipped)
	}
}
