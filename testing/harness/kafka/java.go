package kafka

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const minJava = 17 // of Kafka 4's broker

// findJava returns a java of at least minJava: of $JAVA_HOME, of the PATH, or
// Debian's, unpacked into <cacheDir>/jre without root.
func findJava(ctx context.Context, cacheDir string, log io.Writer) (string, error) {
	var seen []string
	for _, java := range candidates(cacheDir) {
		v, err := javaVersion(ctx, java)
		if err == nil && v >= minJava {
			return java, nil
		}
		if err == nil {
			seen = append(seen, fmt.Sprintf("%s is Java %d", java, v))
		}
	}
	err := unpackJRE(ctx, filepath.Join(cacheDir, "jre"), log)
	if err == nil {
		for _, java := range unpacked(cacheDir) {
			if v, verr := javaVersion(ctx, java); verr == nil && v >= minJava {
				return java, nil
			}
		}
		err = fmt.Errorf("the unpacked Java does not run")
	}
	return "", &MissingError{fmt.Sprintf("there is no Java %d or later (%s; unpacking Debian's: %v)", minJava, strings.Join(append(seen, "looked in $JAVA_HOME and on the PATH"), ", "), err),
		"install a Java runtime (Debian: openjdk-17-jre-headless) or set JAVA_HOME"}
}

func candidates(cacheDir string) (out []string) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		out = append(out, filepath.Join(home, "bin", "java"))
	}
	if java, err := exec.LookPath("java"); err == nil {
		out = append(out, java)
	}
	return append(out, unpacked(cacheDir)...)
}

// unpacked lists the javas that unpackJRE has left.
func unpacked(cacheDir string) []string {
	javas, err := filepath.Glob(filepath.Join(cacheDir, "jre", "usr", "lib", "jvm", "*", "bin", "java"))
	if err != nil {
		return nil // only a malformed pattern fails
	}
	return javas
}

var versionText = regexp.MustCompile(`version "(\d+)(?:\.(\d+))?`)

// javaVersion is the major version that java reports ("1.8" is 8).
func javaVersion(ctx context.Context, java string) (int, error) {
	out, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("asking %s for its version: %w", java, err)
	}
	return parseVersion(string(out))
}

func parseVersion(out string) (int, error) {
	m := versionText.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("asking java for its version: it answered %q", strings.TrimSpace(out))
	}
	if m[1] == "1" {
		return strconv.Atoi(m[2])
	}
	return strconv.Atoi(m[1])
}

// unpackJRE fetches Debian's headless runtime and unpacks it into dir. The
// package lists come from the system, or else are fetched into dir.
func unpackJRE(ctx context.Context, dir string, log io.Writer) error {
	for _, tool := range []string{"apt-get", "dpkg"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing", tool)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "apt", "lists", "partial"), 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	fmt.Fprintln(log, "fetching Debian's openjdk-17-jre-headless (about 45 MB)")
	lists := []string{"-o", "Dir::State::lists=" + filepath.Join(dir, "apt", "lists"), "-o", "Dir::Cache=" + filepath.Join(dir, "apt")}
	download := []string{"download", "openjdk-17-jre-headless"}
	if run(ctx, dir, log, "apt-get", download...) != nil {
		if err := run(ctx, dir, log, "apt-get", append(lists, "update")...); err != nil {
			return err
		}
		if err := run(ctx, dir, log, "apt-get", append(lists, download...)...); err != nil {
			return err
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, "openjdk-*.deb"))
	if err != nil || len(debs) == 0 {
		return fmt.Errorf("apt-get left no package in %s", dir)
	}
	if err := run(ctx, dir, log, "dpkg", "-x", debs[len(debs)-1], dir); err != nil {
		return err
	}
	return relink(dir)
}

// relink makes the package's links to /etc, where its settings would be once
// installed, point into dir.
func relink(dir string) error {
	return filepath.WalkDir(filepath.Join(dir, "usr"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		to, err := os.Readlink(path)
		if err != nil || !strings.HasPrefix(to, "/etc/java") {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Symlink(filepath.Join(dir, to), path)
	})
}

func run(ctx context.Context, dir string, log io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s %s: %w", name, args[len(args)-1], err)
	}
	return nil
}
