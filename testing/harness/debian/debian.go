// Package debian unpacks Debian's packages into a folder, without root, for
// harnesses that need a real server which the machine may not have.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/microseg/microseg/embedded/downloads"
)

// MissingError says that packages could not be had, and what to do.
type MissingError struct {
	Packages []string
	Err      error
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("getting Debian's %s: %v; install them (apt-get install %[1]s) or put their programs on the PATH",
		strings.Join(e.Packages, " "), e.Err)
}

func (e *MissingError) Unwrap() error { return e.Err }

// Get makes sure that the packages are unpacked in dir and returns the folder
// that stands for "/" to them. Their dependencies are not followed: name what
// the machine may lack. It needs apt-get and dpkg, no root, and the network
// only if the packages are not there yet; the package lists are the system's,
// or else are fetched into dir. The error is a *MissingError.
func Get(ctx context.Context, dir string, packages ...string) (root string, err error) {
	if dir, err = filepath.Abs(dir); err == nil {
		root = filepath.Join(dir, "root")
		err = get(ctx, dir, root, packages)
	}
	if err != nil {
		return "", &MissingError{packages, err}
	}
	return root, nil
}

func get(ctx context.Context, dir, root string, packages []string) error {
	unlock, err := downloads.Lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	// What is half unpacked must not look complete: the mark comes last.
	mark, want := filepath.Join(dir, "unpacked"), strings.Join(packages, "\n")
	if got, err := os.ReadFile(mark); err == nil && string(got) == want {
		return nil
	}
	for _, old := range []string{mark, root, filepath.Join(dir, "debs")} {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	debs, err := download(ctx, dir, packages)
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if err := run(ctx, dir, "dpkg", "-x", deb, root); err != nil {
			return err
		}
	}
	if err := relink(root); err != nil {
		return fmt.Errorf("mending the links: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "debs")); err != nil {
		return err
	}
	return os.WriteFile(mark, []byte(want), 0o644)
}

// download leaves the packages' files in <dir>/debs.
func download(ctx context.Context, dir string, packages []string) ([]string, error) {
	for _, tool := range []string{"apt-get", "dpkg"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is not on the PATH", tool)
		}
	}
	to, lists := filepath.Join(dir, "debs"), filepath.Join(dir, "apt", "lists")
	for _, d := range []string{to, filepath.Join(lists, "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	fetch := append([]string{"download"}, packages...)
	if err := run(ctx, to, "apt-get", fetch...); err != nil {
		own := []string{"-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + filepath.Join(dir, "apt")}
		for _, args := range [][]string{{"update"}, fetch} {
			if again := run(ctx, to, "apt-get", append(own, args...)...); again != nil {
				return nil, errors.Join(err, again)
			}
		}
	}
	debs, err := filepath.Glob(filepath.Join(to, "*.deb"))
	if err == nil && len(debs) < len(packages) {
		err = fmt.Errorf("apt-get left %d of %d packages", len(debs), len(packages))
	}
	return debs, err
}

// relink makes the packages' absolute links point into root.
func relink(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		to, err := os.Readlink(path)
		if err != nil || !filepath.IsAbs(to) {
			return err
		}
		if _, err := os.Lstat(filepath.Join(root, to)); err != nil {
			return nil // of a package that is not unpacked here
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Symlink(filepath.Join(root, to), path)
	})
}

// Libraries is the value of LD_LIBRARY_PATH for programs of root.
func Libraries(root string) string {
	var dirs []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err == nil { // only a malformed pattern fails
			dirs = append(dirs, found...)
		}
	}
	return strings.Join(dirs, string(os.PathListSeparator))
}

func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s %s: %w\n%s", name, strings.Join(args, " "), err, bytes.TrimSpace(out[max(0, len(out)-1000):]))
	}
	return nil
}
