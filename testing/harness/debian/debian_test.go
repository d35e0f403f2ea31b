package debian

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRelink: Debian's package links its settings to /etc, where nothing is
// when it was unpacked without root; Java then ends with "Error loading
// java.security file".
func TestRelink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf, etc := filepath.Join(dir, "usr", "lib", "jvm", "java-17", "conf"), filepath.Join(dir, "etc", "java-17-openjdk")
	for _, d := range []string{conf, etc} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(etc, "net.properties"), []byte("here"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(conf, "net.properties")
	if err := os.Symlink("/etc/java-17-openjdk/net.properties", link); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(conf, "of-another-package")
	if err := os.Symlink("/etc/of-another-package", dangling); err != nil {
		t.Fatal(err)
	}
	if err := relink(dir); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(dangling); err != nil || to != "/etc/of-another-package" {
		t.Errorf("a link to what is not unpacked was changed to %q, %v", to, err)
	}
	if text, err := os.ReadFile(link); err != nil || string(text) != "here" {
		t.Errorf("the link gives %q, %v", text, err)
	}
}

// TestMissing: what cannot be had is named, with what to do, and leaves nothing
// that looks complete.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := t.TempDir()
	_, err := Get(t.Context(), dir, "some-package")
	var missing *MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "apt-get install some-package") {
		t.Fatalf("error %v, want a MissingError that says what to install", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "unpacked")); !os.IsNotExist(err) {
		t.Errorf("the folder is marked as complete: %v", err)
	}
}
