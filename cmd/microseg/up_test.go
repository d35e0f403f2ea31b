package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/microseg/microseg/config"
)

// TestPortsAreLookedAtFirst: a port that is taken, twice the same or none was
// found when log and ClickHouse had been started already.
func TestPortsAreLookedAtFirst(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--http-port", taken}, "--http-port " + taken + " cannot be had"},
		{[]string{"--clickhouse-port", taken}, "--clickhouse-port " + taken + " cannot be had"},
		{[]string{"--kafka-port", "7", "--clickhouse-http-port", "7"}, "--kafka-port and --clickhouse-http-port are both 7"},
		{[]string{"--http-port", "70000"}, "--http-port 70000 is no port"},
	} {
		dir := t.TempDir()
		out, code := says(t, append([]string{"up", "--dir", dir}, test.args...)...)
		if expect(t, out, test.says); code != 1 {
			t.Errorf("exit code %d", code)
		}
		if _, err := os.Stat(filepath.Join(dir, "log")); err == nil {
			t.Error("the log was started all the same")
		}
	}
}

// TestUp is an operator's day with one stack: commands find it by its folder, a
// second one is refused before it starts anything (it had opened the first one's
// log), signals that ask for nothing end nothing, and what a changed
// configuration file says is shown without a restart, or refused with the reason.
func TestUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "site.yaml")
	write := func(from, to string) {
		t.Helper()
		text := strings.Replace(string(config.Shipped), from, to, 1)
		if text == string(config.Shipped) && from != "" {
			t.Fatalf("%q is not in the shipped configuration", from)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("", "")
	stack := filepath.Join(dir, "stack")
	c, out, a := up(t, stack, "--config", file)
	second, code := says(t, "up", "--dir", stack)
	if expect(t, second, fmt.Sprintf("already running as pid %d in ", c.Process.Pid)); code != 1 {
		t.Errorf("exit code %d", code)
	}
	report, _ := says(t, "report", "--dir", stack)
	expect(t, report, "Site demo")
	missing, _ := says(t, "report", "--dir", filepath.Join(dir, "nothing"))
	expect(t, missing, "no stack is running in "+filepath.Join(dir, "nothing"))

	c.Process.Signal(syscall.SIGUSR1)
	await(t, "a word about SIGUSR1", func() bool { return strings.Contains(out.String(), "got SIGUSR1, which asks for nothing here") })

	hero := func() string {
		r, err := http.Get("http://" + a.HTTP + "/esi/hero?page=home")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return string(b)
	}
	expect(t, hero(), "Find what suits you")
	write("Find what suits you", "Find what is new")
	await(t, "the new rule", func() bool { return strings.Contains(hero(), "Find what is new") })
	expect(t, out.String(), "is taken: rules, templates, titles and alert thresholds")

	write("min_sample: 200", "min_sample: 100")
	await(t, "a refusal", func() bool { return strings.Contains(out.String(), "audience.min_sample: this needs a restart") })
	r, err := http.Get("http://" + a.AdminHTTP + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r.Body)
	r.Body.Close()
	expect(t, string(b), "is not what runs")
	if r.StatusCode != http.StatusOK {
		t.Errorf("%s for a file that was not taken", r.Status)
	}
	expect(t, hero(), "Find what is new")

	write("Find what suits you", "Find your way")
	c.Process.Signal(syscall.SIGHUP)
	await(t, "the rule behind SIGHUP", func() bool { return strings.Contains(hero(), "Find your way") })

	// ClickHouse said the old title until the next start.
	write("title: High intent", "title: Keen on something")
	await(t, "the new title", func() bool {
		titles, _ := says(t, "sql", "--dir", stack, "SELECT title FROM segment_nodes_current WHERE site = {site:String}")
		return strings.Contains(titles, "Keen on something")
	})
}
