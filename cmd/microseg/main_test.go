package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/stack"
)

// asProgram makes this test binary the program itself.
const asProgram = "MICROSEG_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	clickhouse.HandleChild()
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program is a command line of microseg.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	return c
}

// says runs a command to its end.
func says(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	b, err := program(t, args...).CombinedOutput()
	if err != nil && !isExit(err) {
		t.Fatalf("%v: %v\n%s", args, err, b)
	}
	if e, ok := err.(*exec.ExitError); ok {
		code = e.ExitCode()
	}
	return string(b), code
}

func isExit(err error) bool { _, ok := err.(*exec.ExitError); return ok }

// output collects what a process says while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// await waits until what is true.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}

// up starts `microseg up` in dir and returns when its addresses are there.
func up(t *testing.T, dir string, args ...string) (*exec.Cmd, *output, stack.Addresses) {
	t.Helper()
	c, out := program(t, append([]string{"up", "--dir", dir, "--visitors", "0"}, args...)...), &output{}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		c.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("up ended with %v\n%s", err, out)
		}
		if stack.IsRunning(dir) {
			t.Errorf("the folder is still locked")
		}
	})
	var a stack.Addresses
	await(t, "addresses.json", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("up ended: %v\n%s", err, out)
		default:
		}
		b, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
		return err == nil && json.Unmarshal(b, &a) == nil
	})
	return c, out, a
}

func expect(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q is not in:\n%s", part, text)
	}
}
