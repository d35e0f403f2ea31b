package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
)

func TestMain(m *testing.M) {
	clickhouse.HandleChild()
	os.Exit(m.Run())
}

// TestNothingIsLost is the short version of `./run.sh faults`: 200,000 events,
// sent in two and a half minutes in which everything is killed again and again, alone
// and together, and a job is paused until another one has taken over. Everything
// that was acknowledged is in the final sessions, persons and memberships exactly
// once, as the oracle has it from the log, and nothing that anybody could have
// seen was decided otherwise later.
func TestNothingIsLost(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "microseg")
	build := exec.Command("go", "build", "-o", binary, "./cmd/microseg")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the binary: %v\n%s", err, out)
	}
	seed := uint64(time.Now().UnixNano() >> 20)
	report, err := Run(t.Context(), Options{Binary: binary, Dir: filepath.Join(root, ".microseg", "faults", fmt.Sprint("test-", seed)), Seed: seed,
		Events: 200_000, Duration: 150 * time.Second, Every: 12 * time.Second, MaxDown: 8 * time.Second, MaxPause: 20 * time.Second, Strict: true, Progress: testWriter{t}})
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	kills := 0
	for _, n := range report.Kills {
		kills += n
	}
	if kills < 10 || report.Events < 200_000 || report.Acknowledged != report.Events {
		t.Errorf("%d kills, %d events, %d acknowledged", kills, report.Events, report.Acknowledged)
	}
	t.Logf("%+v", *report)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}
