// Package varnish runs a real Varnish for tests: varnishd of the PATH, or
// Debian's with varnish-modules, unpacked without root into the clone's ignored .cache folder.
package varnish

import (
	"context"
	"errors"
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
	startTimeout = 60 * time.Second // it compiles its VCL with a C compiler first
	stopTimeout  = 10 * time.Second
	attempts     = 3 // of finding a port that stays free until the server listens
)

// Server is a running Varnish.
type Server struct {
	addr    string
	process *child.Process
}

// Start runs a VCL on a free port of 127.0.0.1, with its files in dir, and
// waits until it listens. Where Varnish is missing and cannot be had the error
// is a *debian.MissingError.
func Start(ctx context.Context, dir, vcl string) (s *Server, err error) {
	for range attempts {
		if s, err = start(ctx, dir, vcl); err == nil || !strings.Contains(err.Error(), "Address already in use") {
			return s, err
		}
	}
	return s, err
}

func start(ctx context.Context, dir, vcl string) (*Server, error) {
	cmd, err := command(ctx)
	if err != nil {
		return nil, err
	}
	port, err := child.FreePort()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "site.vcl")
	if err := os.WriteFile(file, []byte(vcl), 0o644); err != nil {
		return nil, fmt.Errorf("starting Varnish: %w", err)
	}
	s := &Server{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	// -j none: it would drop privileges to users that Debian's package makes.
	cmd.Args = append(cmd.Args, "-F", "-j", "none", "-n", filepath.Join(dir, "work"), "-a", s.addr, "-f", file, "-s", "malloc,64m",
		"-p", "thread_pool_min=10", "-p", "thread_pools=1")
	if s.process, err = child.Start(cmd, filepath.Join(dir, "varnish.log")); err != nil {
		return nil, err
	}
	if err := s.process.Wait(ctx, startTimeout, s.listens); err != nil {
		s.process.Kill()
		return nil, err
	}
	return s, nil
}

// command is varnishd without arguments but those that tell where it is.
func command(ctx context.Context) (*exec.Cmd, error) {
	if _, err := exec.LookPath("gcc"); err != nil {
		return nil, &debian.MissingError{Packages: []string{"gcc"}, Err: errors.New("its configuration is compiled with gcc, which is not on the PATH")}
	}
	if path, err := exec.LookPath("varnishd"); err == nil {
		return exec.Command(path), nil
	}
	dir, err := downloads.Dir()
	if err != nil {
		return nil, err
	}
	root, err := debian.Get(ctx, filepath.Join(dir, "varnish-modules"), "varnish", "varnish-modules", "libvarnishapi3", "libjemalloc2")
	if err != nil {
		return nil, err
	}
	libraries := debian.Libraries(root)
	vmods, err := filepath.Glob(filepath.Join(root, "usr", "lib", "*", "varnish", "vmods"))
	if err != nil || len(vmods) == 0 {
		return nil, &debian.MissingError{Packages: []string{"varnish"}, Err: errors.New("the unpacked package has no folder of vmods")}
	}
	cmd := exec.Command(filepath.Join(root, "usr", "sbin", "varnishd"), "-p", "vmod_path="+vmods[0])
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraries+string(os.PathListSeparator)+filepath.Dir(vmods[0]))
	return cmd, nil
}

func (s *Server) listens(ctx context.Context) bool {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// URL is where the server listens.
func (s *Server) URL() string { return "http://" + s.addr }

// Log is the end of what the server has written.
func (s *Server) Log() string { return s.process.Log() }

// Stop ends the server and waits.
func (s *Server) Stop() error { return s.process.Stop(stopTimeout) }
