// Package lint holds the project to its own rules: who may import whom, what
// staticcheck says, and what must not stand in any file.
package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/microseg/microseg/"

// Libraries that rooms may use, by the beginning of their import paths.
const (
	beam  = "github.com/apache/beam/"
	arrow = "github.com/apache/arrow/"
)

// Rooms of the domain, from the lowest up: each may import those before it.
var domain = []string{"event", "signal", "session", "identity", "segment", "rule"}

// room says what the packages of a folder may import beside the standard
// library and their own folder.
type room struct {
	rooms     []string // folders of this module, with all below them
	libraries []string // other modules; nil: none, "*": any
	never     []string // anywhere among the dependencies, however far
}

func rooms() map[string]room {
	out := map[string]room{
		"config":     {domain, []string{"github.com/goccy/go-yaml"}, []string{beam}},
		"rows":       {nil, []string{arrow}, []string{beam}},
		"measure":    {nil, nil, []string{beam, arrow}},
		"transforms": {append(slices.Clone(domain), "engine", "rows", "measure/latency"), []string{beam, arrow}, nil},
		"runner":     {nil, []string{beam}, nil},
		// What a job has in a process: everybody's parts, and nobody's types.
		"engine": {nil, nil, []string{beam, arrow}},
		// What a stack brings along: log, ClickHouse, and the guard of their disk.
		"embedded": {[]string{"clients"}, []string{"*"}, []string{beam, arrow}},
		"samples":  {nil, nil, []string{beam, arrow}},
		"clients":  {nil, []string{"*"}, []string{beam, arrow}},
		"sources":  {append(slices.Clone(domain), "engine", "clients/kafka"), []string{"*"}, []string{"github.com/ClickHouse/clickhouse-go"}},
		// The rows' columns and the latency buckets are what a sink writes.
		"sinks": {append(slices.Clone(domain), "engine", "rows", "measure/latency", "clients"), []string{"*"}, nil},
		// Submissions are protocol buffers, whose options are a Struct.
		"pipelines": {append(slices.Clone(domain), "engine", "rows", "transforms", "sources", "sinks", "config", "runner"), []string{beam, arrow, "google.golang.org/protobuf"}, nil},
	}
	out["serving"] = room{append(slices.Clone(domain), "measure/latency", "config", "clients"), []string{"*"}, []string{beam, arrow, "github.com/ClickHouse/clickhouse-go"}}
	// The page's script is bundled by esbuild, which nothing that runs needs.
	out["web"] = room{nil, []string{"github.com/evanw/esbuild"}, []string{beam, arrow}}
	libraries := map[string][]string{
		"event":   {"github.com/go-faster/jx", "github.com/mileusna/useragent"},
		"segment": {"github.com/google/cel-go"},
	}
	// What reads and writes is below the graph, however far around.
	for _, name := range []string{"clients", "sources", "sinks", "serving", "rows", "measure", "engine", "embedded", "samples"} {
		r := out[name]
		r.never = append(r.never, module+"transforms", module+"pipelines", module+"cmd")
		out[name] = r
	}
	for i, name := range domain {
		out[name] = room{domain[:i], libraries[name], []string{beam, arrow, "net/http"}}
	}
	return out
}

// listed is what `go list` says of a package.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

// TestImports: the table of rooms in DESIGN.md is what the code does. Test
// files may import anything.
func TestImports(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", "./...")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	standard := map[string]bool{}
	var ours []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		standard[p.ImportPath] = p.Standard
		if strings.HasPrefix(p.ImportPath, module) {
			ours = append(ours, p)
		}
	}
	rules := rooms()
	for _, p := range ours {
		name := folder(p.ImportPath)
		notOfTests(t, name, p)
		if r, ok := rules[name]; ok {
			r.check(t, name, p, standard)
		}
	}
}

// notOfTests: what is below testing serves tests alone, and may change with them; nothing
// that ships imports it.
func notOfTests(t *testing.T, name string, p listed) {
	t.Helper()
	for _, i := range p.Imports {
		if name != "testing" && folder(i) == "testing" && strings.HasPrefix(i, module) {
			t.Errorf("%s imports %s: what is below testing is for tests alone", p.ImportPath, i)
		}
	}
}

func (r room) check(t *testing.T, name string, p listed, standard map[string]bool) {
	t.Helper()
	for _, i := range p.Imports {
		if strings.HasPrefix(i, module) {
			if folder(i) != name && !within(strings.TrimPrefix(i, module), r.rooms) {
				t.Errorf("%s imports %s: the room %s may not enter there", p.ImportPath, i, name)
			}
			continue
		}
		if !standard[i] && !begins(i, r.libraries) {
			t.Errorf("%s imports %s, which is none of the libraries of the room %s", p.ImportPath, i, name)
		}
	}
	for _, d := range p.Deps {
		if len(r.never) > 0 && begins(d, r.never) {
			t.Errorf("%s depends on %s, which the room %s must never do", p.ImportPath, d, name)
		}
	}
}

func begins(path string, with []string) bool {
	return slices.ContainsFunc(with, func(w string) bool { return w == "*" || strings.HasPrefix(path, w) })
}

// within reports whether a package's path is one of the folders or below one.
func within(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}

// folder is the top folder of a package of this module.
func folder(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, module), "/")
	return name
}

func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(strings.TrimSpace(string(out)), string(os.PathSeparator)+"go.mod")
}
