package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/embedded/stack"
	"github.com/microseg/microseg/serving/node"
)

// searched are texts of a stack in which none of its secrets may stand.
type searched struct {
	t       *testing.T
	secrets map[string]string // by name
	n       int
}

func (s *searched) look(where, text string) {
	s.t.Helper()
	s.n++
	for name, secret := range s.secrets {
		if secret == "" {
			s.t.Fatalf("no %s to look for", name)
		}
		if strings.Contains(text, secret) {
			s.t.Errorf("%s shows %s:\n%.2000s", where, name, strings.ReplaceAll(text, secret, "THE SECRET"))
		}
	}
}

func (s *searched) file(where, path string) {
	s.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.look(where, string(b))
}

func (s *searched) get(method, url, authorization, body string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		s.t.Fatal(err)
	}
	s.look(method+" "+url, fmt.Sprint(resp.Status, resp.Header, string(b)))
}

// children are the processes that a process has started, by their ids.
func children(t *testing.T, pid int) (out []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		b, _ := os.ReadFile(path) // it may have ended
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(pid) {
			out = append(out, filepath.Base(filepath.Dir(path)))
		}
	}
	return out
}

// TestNoSecretOfAStack: a stack with a secret in each variable that may have one tells none of
// them, nor those that it has made itself: to another user of the machine (arguments of processes),
// to the ClickHouse that it starts (which a bug might make read its own environment), in health,
// metrics, pages of errors, logs and what it says when it is killed with its stacks.
//
// The variables of Kafka and ClickHouse are about somebody's other servers: `up` tried its own log
// with their TLS and their login, and ended after half a minute of "did not finish the TLS handshake".
func TestNoSecretOfAStack(t *testing.T) {
	secretEnv(t)
	t.Setenv("MICROSEG_CLICKHOUSE_DSN", "")
	s := &searched{t: t, secrets: map[string]string{"what the environment has": canary}}
	for i, name := range []string{node.EnvAdminKey, node.EnvServerKeys, node.EnvIdentityKeys} {
		t.Setenv(name, fmt.Sprintf("%s-%d-%s", canary, i, strings.Repeat("x", 32)))
	}
	hex := strings.Repeat("7f3a", 16)
	t.Setenv(node.EnvTokenKeys, "k1:"+hex)
	s.secrets["the key of tokens"] = hex
	for name, value := range map[string]string{"TLS": "true", "SASL": "PLAIN", "USER": "shop"} {
		t.Setenv(clients.Kafka.Variable(name), value)
		t.Setenv(clients.ClickHouse.Variable(name), value)
	}
	dir := t.TempDir()
	c, out := program(t, "up", "--dir", dir, "--visitors", "0"), &output{}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }() // how it ends is told by what it says
	t.Cleanup(func() { _ = c.Process.Kill(); <-ended })
	var a stack.Addresses
	await(t, "addresses.json", func() bool {
		select {
		case <-ended:
			t.Fatalf("up ended:\n%s", out)
		default:
		}
		b, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
		return err == nil && json.Unmarshal(b, &a) == nil
	})
	for name, file := range map[string]string{"ClickHouse's password": "clickhouse.password", "the analyst's password": "clickhouse.analyst.password"} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		s.secrets[name] = strings.TrimSpace(string(b))
	}
	s.processes(c.Process.Pid)
	s.pages(a)
	// The commands beside it read the same variables, and leave them alone as it does.
	for _, args := range [][]string{{"state"}, {"health"}, {"report"}, {"sql", "SELECT currentUser(), 7 * 6"}, {"deadletters", "replay", "--dry-run"}} {
		said, _ := says(t, append(args, "--dir", dir)...)
		s.look(args[0], said)
		if want := map[string]string{"sql": "analyst"}[args[0]]; strings.Contains(said, "TLS") || strings.Contains(said, "login") || !strings.Contains(said, want) {
			t.Errorf("%v says:\n%s", args, said)
		}
	}
	if said, code := says(t, "sql", "DROP TABLE sessions", "--dir", dir); code == 0 || !strings.Contains(said, "refuses the query") {
		t.Errorf("the analyst drops a table: %d %s", code, said)
	}
	if !strings.Contains(out.String(), "MICROSEG_KAFKA_PASSWORD") || !strings.Contains(out.String(), "MICROSEG_CLICKHOUSE_USER") {
		t.Errorf("it does not say what it leaves alone:\n%s", out)
	}
	if err := c.Process.Signal(syscall.SIGQUIT); err != nil { // as a panic, with all stacks
		t.Fatal(err)
	}
	<-ended
	if !strings.Contains(out.String(), "goroutine ") {
		t.Error("it has shown no stacks")
	}
	s.look("what it has said", out.String())
	logs, err := filepath.Glob(filepath.Join(dir, "clickhouse", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("ClickHouse has no log: %v", err)
	}
	for _, path := range logs {
		s.file(filepath.Base(path), path)
	}
	if s.n < 30 {
		t.Errorf("%d places were searched", s.n)
	}
}

// processes are the arguments of a process and of those that it has started, and the environment of these.
func (s *searched) processes(pid int) {
	s.t.Helper()
	s.file("its arguments", fmt.Sprintf("/proc/%d/cmdline", pid))
	started := children(s.t, pid)
	if len(started) == 0 {
		s.t.Error("it has started no process, ClickHouse neither")
	}
	for _, child := range started {
		s.file("the arguments of "+child, "/proc/"+child+"/cmdline")
		s.file("the environment of "+child, "/proc/"+child+"/environ")
	}
}

// pages are those that anybody may ask for, those of the admin, and those of errors.
func (s *searched) pages(a stack.Addresses) {
	s.t.Helper()
	for _, addr := range []string{a.HTTP, a.AdminHTTP} {
		for _, path := range []string{"/", "/livez", "/readyz", "/health", "/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/vars", "/env", "/v1/nothing", "/microseg.js", "/v1/profiles/u:ann",
			"/api/explain?anonymousId=a"} {
			s.get(http.MethodGet, "http://"+addr+path, "", "")
		}
		s.get(http.MethodGet, "http://"+addr+"/v1/profiles/u:ann", "Bearer "+strings.Repeat("wrong", 10), "")
		s.get(http.MethodPost, "http://"+addr+"/v1/batch", "Basic "+strings.Repeat("A", 40), "{")
		s.get(http.MethodPost, "http://"+addr+"/v1/identity/token", "Bearer", "{")
		s.get(http.MethodDelete, "http://"+addr+"/v1/profiles/%00", "", "")
	}
}
