package kafka

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/microseg/microseg/testing/harness/cache"
)

//go:embed pom.xml
var pom []byte

// sums pins the jars, in the form of sha256sum.
//
//go:embed jars.sha256
var sums string

// MissingError says what a machine lacks for Apache Kafka, and what to do.
type MissingError struct{ What, Do string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("preparing Apache Kafka: %s; %s", e.What, e.Do)
}

// Fetch makes sure that Kafka's jars are in <cacheDir>/kafka/libs and a Java
// of at least 17 is at hand. Missing jars come by Maven (with its checksums
// enforced and its own repository within cacheDir), and all must have the
// SHA-256 that this package pins. What the tools say goes to log. Nothing is
// fetched when everything is there. The error is a *MissingError when a tool
// is not installed.
func Fetch(ctx context.Context, cacheDir string, log io.Writer) error {
	if _, err := findJava(ctx, cacheDir, log); err != nil {
		return err
	}
	return fetchJars(ctx, filepath.Join(cacheDir, "kafka"), log)
}

func fetchJars(ctx context.Context, dir string, log io.Writer) error {
	unlock, err := cache.Lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	libs := filepath.Join(dir, "libs")
	if verify(libs) == nil {
		return nil
	}
	if err := maven(ctx, dir, libs, log); err != nil {
		return err
	}
	return verify(libs)
}

// maven copies the jars of pom.xml to libs.
func maven(ctx context.Context, dir, libs string, log io.Writer) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return &MissingError{"Maven (mvn) is not on the PATH", "install Maven 3.6 or later (Debian: the package maven); it fetches the pinned jars"}
	}
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, pom, 0o644); err != nil {
		return fmt.Errorf("preparing Apache Kafka: %w", err)
	}
	fmt.Fprintln(log, "fetching Apache Kafka's jars with Maven (about 45 MB)")
	cmd := exec.CommandContext(ctx, mvn, "--quiet", "--batch-mode", "--strict-checksums", "--file", file,
		"-Dmaven.repo.local="+filepath.Join(dir, "repository"), "dependency:copy-dependencies", "-DoutputDirectory="+libs)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(log, &out), io.MultiWriter(log, &out)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("fetching Apache Kafka's jars: mvn: %w\n%s", err, tail(out.Bytes()))
	}
	return nil
}

// verify compares the jars with their pinned hashes.
func verify(libs string) error {
	for name, want := range pinned() {
		got, err := sum(filepath.Join(libs, name))
		if err != nil {
			return fmt.Errorf("checking Apache Kafka's jars: %w", err)
		}
		if got != want {
			return fmt.Errorf("checking Apache Kafka's jars: %s has SHA-256 %s, pinned is %s; remove %s and try again", name, got, want, libs)
		}
	}
	return nil
}

// pinned is the pinned SHA-256, in hexadecimal, by the jar's name.
func pinned() map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(sums) {
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

// tail is the end of a program's output, for an error's text.
func tail(out []byte) []byte { return bytes.TrimSpace(out[max(0, len(out)-2000):]) }
