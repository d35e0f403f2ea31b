package clickhouse

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	HandleChild()
	if dir := os.Getenv("MICROSEG_TEST_PARENT"); dir != "" {
		parent(dir)
	}
	os.Exit(m.Run())
}

// parent is a process that starts a server and then waits to be killed.
func parent(dir string) {
	s, err := Start(context.Background(), Options{Dir: dir})
	if err != nil {
		os.Stdout.WriteString("error " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString("pid " + strconv.Itoa(s.PID()) + "\n")
	time.Sleep(time.Hour)
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	if !s.Embedded() {
		t.Fatalf("these tests start servers of their own: unset %s", DSNEnv)
	}
	return s
}

func query(t *testing.T, s *Server, q string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.HTTPAddr(), strings.NewReader(q))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(User, s.Password())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v %s", q, err, body)
	}
	return strings.TrimSpace(string(body))
}

func TestDataSurvivesStopAndKill(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	query(t, s, "CREATE DATABASE d")
	query(t, s, "CREATE TABLE d.t (a Int64) ENGINE = MergeTree ORDER BY a")
	query(t, s, "INSERT INTO d.t VALUES (42)")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, Options{Dir: dir})
	query(t, s, "INSERT INTO d.t VALUES (43)")
	s.Kill()
	s = start(t, Options{Dir: dir})
	if got := query(t, s, "SELECT sum(a) FROM d.t"); got != "85" {
		t.Fatalf("after a stop and a kill: %s, want 85", got)
	}
}

func TestTheNativePortListensToo(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestAPortThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	if _, err := Start(t.Context(), Options{Dir: t.TempDir(), TCPPort: taken}); !errors.Is(err, ErrPortTaken) {
		t.Fatalf("error %v, want ErrPortTaken", err)
	}
}

func TestOneFolderIsOneServer(t *testing.T) {
	dir := t.TempDir()
	start(t, Options{Dir: dir})
	_, err := Start(t.Context(), Options{Dir: dir, StartTimeout: 5 * time.Second})
	if err == nil || !strings.Contains(err.Error(), "lock") {
		t.Fatalf("a second server in the same folder: %v", err)
	}
}

// TestTheServerDiesWithItsParent kills a process that has started a server: the
// first version's child lived on, because the kernel watches the forking
// thread, and held port and folder.
func TestTheServerDiesWithItsParent(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MICROSEG_TEST_PARENT="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, _ := out.Read(buf)
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(buf[:n]), "pid ")))
	if err != nil {
		cmd.Process.Kill()
		t.Fatalf("the parent said %q", buf[:n])
	}
	cmd.Process.Kill()
	cmd.Wait()
	for range 200 {
		if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "exe")); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the server (process %d) outlived its parent by 4 s", pid)
}

func TestFindSaysWhatToDo(t *testing.T) {
	t.Setenv(DSNEnv, "")
	t.Setenv(LibEnv, "")
	t.Setenv("PATH", "")
	dir := t.TempDir()
	_, err := Find(dir)
	var missing *MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "./run.sh") {
		t.Fatalf("error %v", err)
	}
	t.Setenv(LibEnv, filepath.Join(dir, "nothing.so"))
	if _, err := Find(dir); err == nil || !strings.Contains(err.Error(), LibEnv) {
		t.Fatalf("error %v", err)
	}
	t.Setenv(DSNEnv, "clickhouse://elsewhere:9000/x")
	if f, err := Find(dir); err != nil || f.DSN != "clickhouse://elsewhere:9000/x" {
		t.Fatalf("%+v, %v", f, err)
	}
}

// TestFindPrefersABinaryOnThePath pins the order and the command line.
func TestFindPrefersABinaryOnThePath(t *testing.T) {
	t.Setenv(DSNEnv, "")
	t.Setenv(LibEnv, "")
	dir := t.TempDir()
	bin := filepath.Join(dir, "clickhouse")
	if err := os.WriteFile(bin, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	f, err := Find(dir)
	if err != nil || f.Binary != bin {
		t.Fatalf("%+v, %v", f, err)
	}
	cmd, _ := command(f, "/c.xml")
	if got := cmd.Args; len(got) != 3 || got[1] != "server" || got[2] != "--config-file=/c.xml" {
		t.Fatalf("command %v", got)
	}
}

// TestTheLockFilePins: integrity for every package, and no registry's address.
func TestTheLockFilePins(t *testing.T) {
	lock, err := os.ReadFile("npm/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(lock), `"integrity": "sha512-`) || strings.Contains(string(lock), "resolved") {
		t.Fatalf("lock file: %s", lock)
	}
}
