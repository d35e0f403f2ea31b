package chromium

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/microseg/microseg/embedded/downloads"
)

// MissingError says what a machine lacks for Chromium, and what to do.
type MissingError struct{ What, Do string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("preparing Chromium: %s; %s", e.What, e.Do)
}

const advice = "install Chromium (Debian: the package chromium), or set CHROMIUM to the path of one"

// program is a Chromium that can be started.
type program struct {
	path string
	env  []string // what it needs in its environment
}

// find returns the Chromium of $CHROMIUM, of the PATH, or Debian's, unpacked
// into <cacheDir>/chromium without root and fetched there when it is missing.
// What the tools say goes to log. The error is a *MissingError when no
// Chromium can be had.
func find(ctx context.Context, cacheDir string, log io.Writer) (program, error) {
	if path := os.Getenv("CHROMIUM"); path != "" {
		if _, err := exec.LookPath(path); err != nil {
			return program{}, &MissingError{fmt.Sprintf("CHROMIUM is %s, which does not run: %v", path, err), advice}
		}
		return program{path: path}, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return program{path: path}, nil
		}
	}
	p, err := unpacked(ctx, filepath.Join(cacheDir, "chromium"), log)
	if err != nil {
		return program{}, &MissingError{fmt.Sprintf("none on the PATH, and unpacking Debian's: %v", err), advice}
	}
	return p, nil
}

// unpacked is Debian's Chromium in dir, fetched if it is not there. The mark
// comes last, so that what is half unpacked does not look complete; it records
// what was fetched.
func unpacked(ctx context.Context, dir string, log io.Writer) (program, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return program{}, err
	}
	unlock, err := downloads.Lock(dir)
	if err != nil {
		return program{}, err
	}
	defer unlock()
	root, mark := filepath.Join(dir, "root"), filepath.Join(dir, "packages.sha256")
	if _, err := os.Stat(mark); err == nil {
		return ready(ctx, root)
	}
	sums, err := unpack(ctx, dir, root, log)
	if err != nil {
		return program{}, err
	}
	p, err := ready(ctx, root)
	if err != nil {
		return program{}, err
	}
	return p, os.WriteFile(mark, sums, 0o644)
}

// unpack fetches Chromium and the packages that it needs and this machine has
// not, and unpacks them into root. apt-get compares each with the hash that
// the distribution signed. It returns their SHA-256, in the form of sha256sum.
func unpack(ctx context.Context, dir, root string, log io.Writer) ([]byte, error) {
	for _, tool := range []string{"apt-get", "dpkg"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is missing", tool)
		}
	}
	debs := filepath.Join(dir, "debs")
	if err := errors.Join(os.RemoveAll(debs), os.RemoveAll(root), os.MkdirAll(debs, 0o755), os.MkdirAll(root, 0o755)); err != nil {
		return nil, err
	}
	fmt.Fprintln(log, "fetching Debian's chromium and the libraries that it needs (about 125 MB)")
	if err := download(ctx, dir, debs, log); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("apt-get left no package in %s", debs)
	}
	var sums bytes.Buffer
	for _, deb := range files {
		b, err := os.ReadFile(deb)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum[:]), filepath.Base(deb))
		if err := run(ctx, debs, log, "dpkg", "-x", deb, root); err != nil {
			return nil, err
		}
	}
	return sums.Bytes(), os.RemoveAll(debs)
}

// download leaves the packages in debs, by the system's package lists, or,
// where those are absent or too old, by lists of our own in dir.
func download(ctx context.Context, dir, debs string, log io.Writer) error {
	if err := downloadBy(ctx, nil, debs, log); err == nil {
		return nil
	}
	apt := filepath.Join(dir, "apt")
	if err := os.MkdirAll(filepath.Join(apt, "lists", "partial"), 0o755); err != nil {
		return err
	}
	own := []string{"-o", "Dir::State::lists=" + filepath.Join(apt, "lists"), "-o", "Dir::Cache=" + apt}
	if err := run(ctx, debs, log, "apt-get", append(own, "update")...); err != nil {
		return err
	}
	return downloadBy(ctx, own, debs, log)
}

func downloadBy(ctx context.Context, options []string, debs string, log io.Writer) error {
	cmd := exec.CommandContext(ctx, "apt-get", slices.Concat(options, []string{"--simulate", "--yes", "--no-install-recommends", "install", "chromium"})...)
	cmd.Stderr = log
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("asking apt-get what chromium needs: %w", err)
	}
	names := toInstall(string(out))
	if len(names) == 0 {
		return errors.New("asking apt-get what chromium needs: it would install nothing, yet there is no chromium on the PATH")
	}
	return run(ctx, debs, log, "apt-get", slices.Concat(options, []string{"download"}, names)...)
}

// toInstall reads the package names of `apt-get --simulate install`.
func toInstall(out string) (names []string) {
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Inst" {
			names = append(names, f[1])
		}
	}
	return names
}

// ready checks that the Chromium in root finds its libraries.
func ready(ctx context.Context, root string) (program, error) {
	dirs, err := libraryDirs(root)
	if err != nil {
		return program{}, err
	}
	p := program{filepath.Join(root, "usr", "lib", "chromium", "chromium"), []string{"LD_LIBRARY_PATH=" + strings.Join(dirs, ":")}}
	cmd := exec.CommandContext(ctx, "ldd", p.path)
	cmd.Env = append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return program{}, fmt.Errorf("listing the libraries of %s: %w\n%s", p.path, err, bytes.TrimSpace(out))
	}
	var absent []string
	for line := range strings.Lines(string(out)) {
		if name, found := strings.CutSuffix(strings.TrimSpace(line), " => not found"); found {
			absent = append(absent, name)
		}
	}
	if len(absent) > 0 {
		return program{}, fmt.Errorf("it lacks %s; remove %s to fetch it again", strings.Join(absent, ", "), filepath.Dir(root))
	}
	return p, nil
}

// libraryDirs lists the folders of root that hold shared libraries.
func libraryDirs(root string) (dirs []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".so") && !slices.Contains(dirs, filepath.Dir(path)) {
			dirs = append(dirs, filepath.Dir(path))
		}
		return err
	})
	return dirs, err
}

func run(ctx context.Context, dir string, log io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s %s: %w", name, args[len(args)-1], err)
	}
	return nil
}
