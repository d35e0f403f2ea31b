package clickhouse

import (
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// The lock file pins version and integrity (SHA-512) of the library's package;
// it names no registry, so that npm's own configuration decides on that.
//
//go:embed npm/package.json npm/package-lock.json
var pinned embed.FS

// Install puts the embedded ClickHouse under cacheDir (about 570 MB) with
// `npm ci`, which checks the package against the lock file's integrity and
// fails on any difference. npm's words go to log. It does nothing where the
// pinned version is installed already.
func Install(ctx context.Context, cacheDir string, log io.Writer) error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("installing the embedded ClickHouse: there is none for %s/%s; put `clickhouse` on the PATH or set %s",
			runtime.GOOS, runtime.GOARCH, DSNEnv)
	}
	if installed(cacheDir) {
		return nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("installing the embedded ClickHouse: npm is missing; install Node.js 18 or later, put `clickhouse` on the PATH, or set %s", DSNEnv)
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return fmt.Errorf("installing the embedded ClickHouse: %w", err)
	}
	// What is half installed must not look installed: the mark comes last.
	if err := os.RemoveAll(markPath(cacheDir)); err != nil {
		return fmt.Errorf("installing the embedded ClickHouse: %w", err)
	}
	lock, err := copyPinned(cacheDir)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", cacheDir)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("installing the embedded ClickHouse: npm ci in %s: %w (npm's words are above; without a network set %s)", cacheDir, err, DSNEnv)
	}
	if _, err := os.Stat(libPath(cacheDir)); err != nil {
		return fmt.Errorf("installing the embedded ClickHouse: npm left no library: %w", err)
	}
	return os.WriteFile(markPath(cacheDir), lock, 0o644)
}

func copyPinned(cacheDir string) (lock []byte, err error) {
	for _, name := range []string{"package.json", "package-lock.json"} {
		if lock, err = pinned.ReadFile("npm/" + name); err != nil {
			return nil, fmt.Errorf("reading the pinned %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(cacheDir, name), lock, 0o644); err != nil {
			return nil, fmt.Errorf("installing the embedded ClickHouse: %w", err)
		}
	}
	return lock, nil
}

func markPath(cacheDir string) string { return filepath.Join(cacheDir, "installed.json") }

// installed reports whether the lock file that was installed is this one.
func installed(cacheDir string) bool {
	lock, err := pinned.ReadFile("npm/package-lock.json")
	if err != nil {
		return false
	}
	mark, err := os.ReadFile(markPath(cacheDir))
	if err != nil || string(mark) != string(lock) {
		return false
	}
	_, err = os.Stat(libPath(cacheDir))
	return err == nil
}
