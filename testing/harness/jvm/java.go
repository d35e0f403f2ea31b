// Package jvm finds a Java, and fetches the jars of what tests run on it.
package jvm

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/microseg/microseg/testing/harness/debian"
)

const minJava = 17 // of Kafka 4's broker

// Find returns a java of at least minJava: of $JAVA_HOME, of the PATH, or
// Debian's, unpacked into <cacheDir>/jre without root.
func Find(ctx context.Context, cacheDir string, log io.Writer) (string, error) {
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
	fmt.Fprintln(log, "unpacking Debian's openjdk-17-jre-headless (about 45 MB, once)")
	_, err := debian.Get(ctx, filepath.Join(cacheDir, "jre"), "openjdk-17-jre-headless")
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

// unpacked lists the javas of the package.
func unpacked(cacheDir string) []string {
	javas, err := filepath.Glob(filepath.Join(cacheDir, "jre", "root", "usr", "lib", "jvm", "*", "bin", "java"))
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
