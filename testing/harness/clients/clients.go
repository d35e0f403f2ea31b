// Package clients gets the tracking libraries of others, unmodified, from npm:
// tests send to the collector with them.
package clients

import (
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/microseg/microseg/testing/harness/cache"
)

// The lock file pins versions and integrity (SHA-512); it names no registry,
// so that npm's own configuration decides on that.
//
//go:embed npm/package.json npm/package-lock.json
var pinned embed.FS

// Pages holds browser.html, a page with Segment's browser library:
//
//	/browser.html?key=WRITE_KEY[&collector=http://host:port]
//
// It expects the library's folder Browser at /analytics-next/ and sends a page
// call, an identify call and ten track calls ("Product Viewed", properties.seq
// 0 to 9), then sets document.title to "sent", or to "failed: …".
//
//go:embed browser.html
var Pages embed.FS

// Browser is the folder of Segment's browser library within the folder that
// Install returns: index.js and standalone.js with their bundles.
const Browser = "@segment/analytics-next/dist/umd"

// MissingError says what a machine lacks, and what to do.
type MissingError struct{ What, Do string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("preparing the tracking libraries: %s; %s", e.What, e.Do)
}

// Install puts the pinned packages into <cacheDir>/clients (about 35 MB) with
// `npm ci`, which fails on any difference from the lock file's integrity, and
// returns the folder node_modules. npm's words go to log. It does nothing
// where the pinned versions are installed already. The error is a
// *MissingError when npm or node is not on the PATH.
func Install(ctx context.Context, cacheDir string, log io.Writer) (modules string, err error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", &MissingError{tool + " is not on the PATH", "install Node.js 18 or later with npm"}
		}
	}
	dir := filepath.Join(cacheDir, "clients")
	modules = filepath.Join(dir, "node_modules")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("preparing the tracking libraries: %w", err)
	}
	unlock, err := cache.Lock(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	want, err := pinned.ReadFile("npm/package-lock.json")
	if err != nil {
		return "", fmt.Errorf("reading the pinned lock file: %w", err)
	}
	mark := filepath.Join(dir, "installed.json")
	if got, err := os.ReadFile(mark); err == nil && string(got) == string(want) {
		return modules, nil
	}
	// What is half installed must not look installed: the mark comes last.
	if err := os.RemoveAll(mark); err != nil {
		return "", fmt.Errorf("preparing the tracking libraries: %w", err)
	}
	if err := npmCI(ctx, dir, log); err != nil {
		return "", err
	}
	return modules, os.WriteFile(mark, want, 0o644)
}

func npmCI(ctx context.Context, dir string, log io.Writer) error {
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := pinned.ReadFile("npm/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
		}
		if err != nil {
			return fmt.Errorf("preparing the tracking libraries: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	// Given by --prefix, the folder was taken for a package to install.
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("preparing the tracking libraries: npm ci in %s: %w (npm's words are above)", dir, err)
	}
	return nil
}
