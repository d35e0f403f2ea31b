package jvm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/microseg/microseg/embedded/downloads"
)

// MissingError says what a machine lacks for something that runs on Java, and what to do.
type MissingError struct{ What, Do string }

func (e *MissingError) Error() string { return fmt.Sprintf("%s; %s", e.What, e.Do) }

// Jars are what a program needs, fetched by Maven and pinned by hash.
type Jars struct {
	Name string // of the program, for people: "Apache Kafka"
	Size string // of the download, for people: "about 45 MB"
	POM  []byte // names the dependencies
	Sums string // their SHA-256, in the form of sha256sum
}

// Fetch makes sure that the jars are in <dir>/libs. Missing jars come by Maven (with its
// checksums enforced and its own repository within dir), and all must have the SHA-256
// that is pinned. What Maven says goes to log. Nothing is fetched when everything is
// there. The error is a *MissingError when Maven is not installed.
func (j *Jars) Fetch(ctx context.Context, dir string, log io.Writer) error {
	unlock, err := downloads.Lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	libs := filepath.Join(dir, "libs")
	if j.Verify(libs) == nil {
		return nil
	}
	if err := j.maven(ctx, dir, libs, log); err != nil {
		return err
	}
	return j.Verify(libs)
}

// maven copies the jars of the POM to libs.
func (j *Jars) maven(ctx context.Context, dir, libs string, log io.Writer) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return &MissingError{"preparing " + j.Name + ": Maven (mvn) is not on the PATH", "install Maven 3.6 or later (Debian: the package maven); it fetches the pinned jars"}
	}
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, j.POM, 0o644); err != nil {
		return fmt.Errorf("preparing %s: %w", j.Name, err)
	}
	fmt.Fprintf(log, "fetching the jars of %s with Maven (%s)\n", j.Name, j.Size)
	cmd := exec.CommandContext(ctx, mvn, "--quiet", "--batch-mode", "--strict-checksums", "--file", file,
		"-Dmaven.repo.local="+filepath.Join(dir, "repository"), "dependency:copy-dependencies", "-DoutputDirectory="+libs)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(log, &out), io.MultiWriter(log, &out)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("fetching the jars of %s: mvn: %w\n%s", j.Name, err, Tail(out.Bytes()))
	}
	return nil
}

// Verify compares the jars with their pinned hashes.
func (j *Jars) Verify(libs string) error {
	for name, want := range j.pinned() {
		got, err := sum(filepath.Join(libs, name))
		if err != nil {
			return fmt.Errorf("checking the jars of %s: %w", j.Name, err)
		}
		if got != want {
			return fmt.Errorf("checking the jars of %s: %s has SHA-256 %s, pinned is %s; remove %s and try again", j.Name, name, got, want, libs)
		}
	}
	return nil
}

// Names are the pinned jars, sorted.
func (j *Jars) Names() []string {
	var out []string
	for name := range j.pinned() {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// ClassPath is that of the jars in libs.
func (j *Jars) ClassPath(libs string) string {
	var out []string
	for _, name := range j.Names() {
		out = append(out, filepath.Join(libs, name))
	}
	return strings.Join(out, string(os.PathListSeparator))
}

// Pin fetches anew what the POM now gives, and writes its hashes to the file sums.
func (j *Jars) Pin(ctx context.Context, dir, sums string) error {
	libs := filepath.Join(dir, "libs")
	if err := os.RemoveAll(libs); err != nil {
		return fmt.Errorf("clearing %s: %w", libs, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	if err := j.maven(ctx, dir, libs, os.Stderr); err != nil {
		return err
	}
	jars, err := filepath.Glob(filepath.Join(libs, "*.jar"))
	if err != nil {
		return fmt.Errorf("listing the jars: %w", err)
	}
	var list strings.Builder
	for _, jar := range jars {
		hash, err := sum(jar)
		if err != nil {
			return fmt.Errorf("reading a jar: %w", err)
		}
		fmt.Fprintf(&list, "%s  %s\n", hash, filepath.Base(jar))
	}
	return os.WriteFile(sums, []byte(list.String()), 0o644)
}

// pinned is the pinned SHA-256, in hexadecimal, by the jar's name.
func (j *Jars) pinned() map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(j.Sums) {
		if hash, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			out[name] = hash
		}
	}
	return out
}

func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Tail is the end of a program's output, for an error's text.
func Tail(out []byte) []byte { return bytes.TrimSpace(out[max(0, len(out)-2000):]) }
