package clickhouse

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// TestStrangersEndNothing: the embedded library ended as a whole when somebody came to its
// native port with a wrong password, hung up, or said what is no request; so every user of the
// machine, and a page in a browser, could have it started again as often as they liked.
func TestStrangersEndNothing(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	query(t, s, "CREATE DATABASE d")
	was := s.PID()
	for _, password := range []string{"", "wrong", strings.Repeat("x", 1<<16)} {
		for _, user := range []string{User, Analyst, "default", "nobody"} {
			if err := knock(t.Context(), s, user, password, "SELECT 1"); err == nil {
				t.Errorf("%s got in", user)
			}
		}
	}
	for _, said := range []string{"", "\x00", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", strings.Repeat("\xff", 1<<16),
		"\x00\x01x\x15\x01\xbc\xa9\x03\x00\x08microseg\x05wrong", "\x00\xff\xff\xff\xff\xff\xff\xff\x7f", "\x16\x03\x01\x02\x00\x01"} {
		for _, addr := range []string{s.Addr(), s.HTTPAddr()} {
			for _, waits := range []bool{false, true} {
				say(t, addr, said, waits)
			}
		}
	}
	// Who has a password and hangs up in the middle of an answer, as one who gives up waiting does.
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := knock(ctx, s, User, s.password, "SELECT sleepEachRow(0.1), repeat('x', 100000) FROM numbers(100) SETTINGS max_block_size = 1"); err == nil {
			t.Error("it answered before its time")
		}
		cancel()
	}
	if err := knock(t.Context(), s, User, s.password, "SELECT 1"); err != nil {
		t.Error(err)
	}
	if got := query(t, s, "SELECT count() FROM system.databases WHERE name = 'd'"); got != "1" || s.PID() != was {
		t.Errorf("%s databases", got)
	}
	select {
	case <-s.Exited():
		t.Error("it has ended")
	default:
	}
}

// knock asks on the native port.
func knock(ctx context.Context, s *Server, user, password, q string) error {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{s.Addr()}, Auth: clickhouse.Auth{Username: user, Password: password}})
	if err != nil {
		return err
	}
	defer conn.Close()
	rows, err := conn.Query(ctx, q)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// say sends bytes to a port and hangs up, at once or when there has been an answer, or none for a
// moment.
func say(t *testing.T, addr, what string, waits bool) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatalf("it has ended: %v", err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, what) // it may have been enough before the end
	if waits {
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, _ = io.Copy(io.Discard, c)
		return
	}
	_ = c.(*net.TCPConn).SetLinger(0) // a reset, not an end
}

// TestAPortTakenMeanwhile: with a terminal a failed start must end all the same, and not wait for
// somebody to type something.
func TestAPortTakenMeanwhile(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := Options{Dir: t.TempDir(), Database: "microseg"}
	found, err := o.find()
	if err != nil {
		t.Fatal(err)
	}
	config, err := writeConfig(o, map[string]string{User: "x", Analyst: "y"}, l.Addr().(*net.TCPAddr).Port, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	cmd, loose := command(found, config)
	c, err := startChild(cmd, filepath.Join(o.Dir, "server.log"))
	if err != nil || loose != "" {
		t.Fatal(err, loose)
	}
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		c.stop(0)
		t.Error("it waits for ever")
	}
	s := &Server{opts: o, child: c}
	if err := s.failure("it ended"); !strings.Contains(err.Error(), ErrPortTaken.Error()) {
		t.Error(err)
	}
}
