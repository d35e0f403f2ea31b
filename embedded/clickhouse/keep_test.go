package clickhouse

import (
	"net/http"
	"syscall"
	"testing"
	"time"
)

// TestKeep: a server that is killed, or that aborts (after which the library
// stays and refuses every query), is there again, where it was, with its data;
// one that stands still is left alone.
func TestKeep(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	told := make(chan error, 10)
	t.Cleanup(s.Keep(func(err error) { told <- err }))
	query(t, s, "CREATE DATABASE d")
	query(t, s, "CREATE TABLE d.t (a Int64) ENGINE = MergeTree ORDER BY a")
	query(t, s, "INSERT INTO d.t VALUES (42)")
	addr := s.Addr()
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGABRT} {
		was := s.PID()
		if err := syscall.Kill(was, sig); err != nil {
			t.Fatal(err)
		}
		select {
		case <-told:
		case <-time.After(time.Minute):
			t.Fatalf("nothing was done after %v", sig)
		}
		for s.PID() == was {
			time.Sleep(10 * time.Millisecond)
		}
		if got := query(t, s, "SELECT sum(a) FROM d.t"); got != "42" || s.Addr() != addr {
			t.Errorf("after %v: %s at %s", sig, got, s.Addr())
		}
	}
	was := s.PID()
	if err := syscall.Kill(was, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * probeEvery)
	if err := syscall.Kill(was, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if s.PID() != was || len(told) > 0 {
		t.Errorf("a server that stood still was started again: %v", <-told)
	}
	if res, err := http.Get("http://" + s.HTTPAddr() + "/ping"); err != nil || res.StatusCode != http.StatusOK {
		t.Error(err)
	} else {
		res.Body.Close()
	}
}
