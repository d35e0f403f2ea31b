// Package redis runs a real Redis for tests: redis-server of the PATH, or
// Debian's, unpacked without root into the clone's ignored .cache folder.
package redis

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/microseg/microseg/embedded/downloads"
	"github.com/microseg/microseg/testing/harness/child"
	"github.com/microseg/microseg/testing/harness/debian"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 5 * time.Second
	attempts     = 3 // of finding a port that stays free until the server listens
)

// Server is a running Redis without persistence.
type Server struct {
	addr    string
	process *child.Process
}

// Start starts a server on a free port of 127.0.0.1, with its log in dir, and
// waits until it answers. Where it is missing and cannot be had the error is a
// *debian.MissingError.
func Start(ctx context.Context, dir string) (*Server, error) {
	return retry(func() (*Server, error) {
		port, err := child.FreePort()
		if err != nil {
			return nil, err
		}
		return StartAt(ctx, dir, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	})
}

func retry(start func() (*Server, error)) (s *Server, err error) {
	for range attempts {
		if s, err = start(); err == nil || !strings.Contains(err.Error(), "Address already in use") {
			return s, err
		}
	}
	return s, err
}

// StartAt is Start on one address, as of a server that comes back.
func StartAt(ctx context.Context, dir, addr string) (*Server, error) {
	cmd, err := command(ctx)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("starting Redis: %w", err)
	}
	cmd.Args = append(cmd.Args, "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", dir)
	s := &Server{addr: addr}
	if s.process, err = child.Start(cmd, filepath.Join(dir, "redis.log")); err != nil {
		return nil, err
	}
	if err := s.process.Wait(ctx, startTimeout, s.answers); err != nil {
		s.process.Kill()
		return nil, err
	}
	return s, nil
}

// command is redis-server without arguments.
func command(ctx context.Context) (*exec.Cmd, error) {
	if path, err := exec.LookPath("redis-server"); err == nil {
		return exec.Command(path), nil
	}
	dir, err := downloads.Dir()
	if err != nil {
		return nil, err
	}
	root, err := debian.Get(ctx, filepath.Join(dir, "redis"), "redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(root, "usr", "bin", "redis-server"))
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+debian.Libraries(root))
	return cmd, nil
}

// answers sends PING: the port alone may be another server's.
func (s *Server) answers(ctx context.Context) bool {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return false
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	var got [7]byte
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	n, err := c.Read(got[:])
	return err == nil && string(got[:n]) == "+PONG\r\n"
}

// Addr is where the server listens, host:port.
func (s *Server) Addr() string { return s.addr }

// Stop ends the server and waits.
func (s *Server) Stop() error { return s.process.Stop(stopTimeout) }

// Kill ends the server at once, as a crash would.
func (s *Server) Kill() { s.process.Kill() }
