package peers

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/microseg/microseg/embedded/downloads"
)

// TestJars: the jars on disk are those that are pinned. With MICROSEG_FLINK_UPDATE it
// pins what pom.xml now gives.
func TestJars(t *testing.T) {
	cache, err := downloads.Dir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "flink")
	if os.Getenv("MICROSEG_FLINK_UPDATE") != "" {
		if err := jars.Pin(t.Context(), dir, filepath.Join("flink", "jars.sha256")); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := jars.Fetch(t.Context(), dir, os.Stderr); err != nil {
		t.Fatal(err)
	}
}
