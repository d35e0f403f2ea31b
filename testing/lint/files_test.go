package lint

import (
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// foreign is what ties a file to one machine or one package host: absolute
// home and work folders, and the hosts of package registries. The expressions
// are written so that they do not find themselves.
var foreign = []*regexp.Regexp{
	regexp.MustCompile(`(^|[\s"'=(:])/(work|home|root|Users)/[A-Za-z0-9_.]`),
	regexp.MustCompile(`registry\.npmj[s]\.org|proxy\.golan[g]\.org|sum\.golan[g]\.org|repo1?\.maven\b|repo\.mave[n]|pypi\.or[g]`),
}

const maxFile = 2 << 20 // bytes of a tracked file

// tracked are the tracked files that a pattern of git's fits, all of them without one: their
// names, and what they hold. What is removed and not yet committed is none.
func tracked(t *testing.T, pattern ...string) iter.Seq2[string, string] {
	t.Helper()
	dir := root(t)
	cmd := exec.Command("git", append([]string{"ls-files", "-z"}, pattern...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the tracked files: %v (these rules need git and a clone)", err)
	}
	return func(yield func(name, text string) bool) {
		for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if !yield(name, string(b)) {
				return
			}
		}
	}
}

// shipped are the Go files that are no tests and do not serve them alone.
func shipped(t *testing.T) iter.Seq2[string, string] {
	t.Helper()
	return func(yield func(name, text string) bool) {
		for name, text := range tracked(t, "*.go") {
			if !strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, "testing/") && !yield(name, text) {
				return
			}
		}
	}
}

// TestFiles: no tracked file is large, names a machine's folders, or a
// registry.
func TestFiles(t *testing.T) {
	t.Parallel()
	for name, text := range tracked(t) {
		if len(text) > maxFile {
			t.Errorf("%s: %d bytes, more than %d", name, len(text), maxFile)
		}
		if strings.HasPrefix(name, "samples/data/") || strings.Contains(text[:min(len(text), 8000)], "\x00") {
			continue // as published, or binary
		}
		for i, line := range strings.Split(text, "\n") {
			for _, f := range foreign {
				if f.MatchString(line) {
					t.Errorf("%s:%d: %s", name, i+1, strings.TrimSpace(line))
				}
			}
		}
	}
}

// TestStaticcheck: `go tool staticcheck ./...` has nothing to say.
func TestStaticcheck(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "tool", "staticcheck", "./...")
	cmd.Dir = root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("staticcheck: %v\n%s", err, out)
	}
}

// made is what makes a client of a service around.
var made = regexp.MustCompile(`\b(kgo|kadm|redis)\.(NewClient|NewOptClient|NewUniversalClient|NewClusterClient|ParseURL)\(|\bclickhouse\.(Open|OpenDB|ParseDSN)\(`)

// makesTopics is what makes a topic beside kafka.CreateTopic.
var makesTopics = regexp.MustCompile(`(?i)\badm\w*(\([^()]*\))?\.CreateTopics?\(|\bCreateTopicsRequest\b`)

// listens is what makes an HTTP server.
var listens = regexp.MustCompile(`\bhttp2?\.(Server\{|ListenAndServe|Serve\(|ServeTLS\()`)

// TestServers: only the room httpserver makes servers; one that is made elsewhere is held by
// clients that are slow. What tests start themselves has no such clients.
func TestServers(t *testing.T) {
	t.Parallel()
	elsewhere(t, listens, "serving/httpserver/", "makes an HTTP server; the room httpserver does that")
}

// TestClients: only the room clients makes clients of the services around, and reads
// their DSNs, since the libraries' errors show passwords; one
// that is made elsewhere has neither the TLS nor the login of the others. What
// tests start themselves has none of either.
func TestClients(t *testing.T) {
	t.Parallel()
	elsewhere(t, made, "clients/", "makes a client; the room clients does that")
}

// TestTopics: only the room clients/kafka makes topics, so that one that exists, and a right
// that is missing, are told alike of all.
func TestTopics(t *testing.T) {
	t.Parallel()
	elsewhere(t, makesTopics, "clients/kafka/", "makes a topic; kafka.CreateTopic does that")
}

// elsewhere fails where something is written outside of its room.
func elsewhere(t *testing.T, what *regexp.Regexp, room, why string) {
	t.Helper()
	for name, text := range shipped(t) {
		if strings.HasPrefix(name, room) {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			if what.MatchString(line) {
				t.Errorf("%s:%d %s: %s", name, i+1, why, strings.TrimSpace(line))
			}
		}
	}
}

// TestBeam: few files import Beam: the DoFns, the graphs, what reads and writes for them,
// and the runner. Whoever changes what is decided need not know it.
func TestBeam(t *testing.T) {
	t.Parallel()
	may := regexp.MustCompile(`^(runner|pipelines)/|^transforms/(decode|device|person|audience|batch|cells)\.go$|^sources/\w+/read\.go$|^sinks/\w+/write(_\w+)?\.go$`)
	for name, text := range shipped(t) {
		if !may.MatchString(name) && strings.Contains(text, `"github.com/apache/beam/`) {
			t.Errorf("%s imports Beam; only DoFns, graphs, sources, sinks and the runner do (docs/adr/0029-engine.md)", name)
		}
	}
}
