// Package npm installs pinned packages from the npm registry into a folder of
// the clone, for tests.
package npm

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/microseg/microseg/embedded/downloads"
)

// MissingError says what a machine lacks, and what to do.
type MissingError struct{ What, Do string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("installing packages from npm: %s; %s", e.What, e.Do)
}

// Install puts the packages that pins/package-lock.json pins into dir with `npm
// ci`, which fails on any difference from the lock file's integrity (SHA-512),
// and returns the folder node_modules. npm's words go to log. It does nothing
// where those versions are installed already; of several processes one
// installs. The error is a *MissingError when npm or node is not on the PATH.
func Install(ctx context.Context, dir string, pins fs.FS, log io.Writer) (modules string, err error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", &MissingError{tool + " is not on the PATH", "install Node.js 18 or later with npm"}
		}
	}
	unlock, err := downloads.Lock(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	modules = filepath.Join(dir, "node_modules")
	want, err := fs.ReadFile(pins, "package-lock.json")
	if err != nil {
		return "", fmt.Errorf("reading the pinned lock file: %w", err)
	}
	mark := filepath.Join(dir, "installed.json")
	if got, err := os.ReadFile(mark); err == nil && string(got) == string(want) {
		return modules, nil
	}
	// What is half installed must not look installed: the mark comes last.
	if err := os.RemoveAll(mark); err != nil {
		return "", fmt.Errorf("installing packages from npm: %w", err)
	}
	if err := ci(ctx, dir, pins, log); err != nil {
		return "", err
	}
	return modules, os.WriteFile(mark, want, 0o644)
}

func ci(ctx context.Context, dir string, pins fs.FS, log io.Writer) error {
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := fs.ReadFile(pins, name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
		}
		if err != nil {
			return fmt.Errorf("installing packages from npm: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	// Given by --prefix, the folder was taken for a package to install.
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("installing packages from npm: npm ci in %s: %w (npm's words are above)", dir, err)
	}
	return nil
}
