// Package workerd runs an edge function in Cloudflare's real runtime, workerd,
// which miniflare (from npm, pinned) starts.
package workerd

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/microseg/microseg/embedded/downloads"
	"github.com/microseg/microseg/testing/harness/child"
	"github.com/microseg/microseg/testing/harness/npm"
)

//go:embed npm/package.json npm/package-lock.json
var pinned embed.FS

//go:embed run.cjs
var runner []byte

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 10 * time.Second
	attempts     = 3
)

// wrapped runs workerd so that it ends with its parent.
const wrapped = `#!/bin/sh
if command -v setpriv > /dev/null; then exec setpriv --pdeathsig KILL -- %[1]q "$@"; fi
exec %[1]q "$@"
`

// Server is a running worker.
type Server struct {
	addr    string
	process *child.Process
}

// Start runs an ES module with text bindings on a free port of 127.0.0.1, with
// its files in dir, and waits until it listens. The error is a
// *npm.MissingError when Node.js is missing.
func Start(ctx context.Context, dir, script string, bindings map[string]string) (s *Server, err error) {
	for range attempts {
		if s, err = start(ctx, dir, script, bindings); err == nil || !strings.Contains(err.Error(), "EADDRINUSE") {
			return s, err
		}
	}
	return s, err
}

func start(ctx context.Context, dir, script string, bindings map[string]string) (*Server, error) {
	shared, err := downloads.Dir()
	if err != nil {
		return nil, err
	}
	pins, err := fs.Sub(pinned, "npm")
	if err != nil {
		return nil, fmt.Errorf("reading the pinned packages: %w", err)
	}
	modules, err := npm.Install(ctx, filepath.Join(shared, "workerd"), pins, os.Stderr)
	if err != nil {
		return nil, err
	}
	port, err := child.FreePort()
	if err != nil {
		return nil, err
	}
	settings, err := json.Marshal(map[string]any{"port": port, "script": script, "bindings": bindings})
	if err != nil {
		return nil, fmt.Errorf("encoding the worker's settings: %w", err)
	}
	run, given := filepath.Join(dir, "run.cjs"), filepath.Join(dir, "settings.json")
	// workerd would outlive a runner that is killed.
	wrapper := filepath.Join(dir, "workerd.sh")
	program := filepath.Join(modules, "@cloudflare", "workerd-linux-64", "bin", "workerd")
	for name, b := range map[string][]byte{run: runner, given: settings, wrapper: fmt.Appendf(nil, wrapped, program)} {
		if err := os.WriteFile(name, b, 0o700); err != nil {
			return nil, fmt.Errorf("writing the worker's files: %w", err)
		}
	}
	cmd := exec.Command("node", run, given)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "MINIFLARE_WORKERD_PATH="+wrapper)
	s := &Server{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	if s.process, err = child.Start(cmd, filepath.Join(dir, "workerd.log")); err != nil {
		return nil, err
	}
	if err := s.process.Wait(ctx, startTimeout, func(context.Context) bool { return strings.Contains(s.process.Log(), "ready on "+s.addr) }); err != nil {
		s.process.Kill()
		return nil, err
	}
	return s, nil
}

// URL is where the worker listens.
func (s *Server) URL() string { return "http://" + s.addr }

// Log is the end of what the worker has written.
func (s *Server) Log() string { return s.process.Log() }

// Kill ends the worker at once.
func (s *Server) Kill() { s.process.Kill() }

// Stop ends the worker and waits.
func (s *Server) Stop() error { return s.process.Stop(stopTimeout) }
