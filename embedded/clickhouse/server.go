// Package clickhouse runs a ClickHouse server for the embedded defaults and the
// tests: the real server, as a child process, with its data in a folder.
//
// A server comes from (first match wins) a DSN in $MICROSEG_CLICKHOUSE_DSN,
// `clickhouse` on the PATH, or libchdb.so from the npm package
// @chdb/lib-linux-x64-gnu, which run.sh fetches as npm/ pins it. Version 26.7 or later of the
// library is needed: earlier ones cannot listen.
package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/microseg/microseg/embedded/downloads"
)

// Options of Start.
type Options struct {
	Dir      string // the server's data, kept across restarts; made when missing
	Lib      string // libchdb.so; empty: whatever Find finds
	CacheDir string // where Find looks; empty: the clone's .cache/clickhouse
	TCPPort  int    // native protocol; 0: a free one
	HTTPPort int    // 0: a free one
	Database string // of the DSN; empty: microseg
	DSN      string // of a server that someone else runs; empty: that of $MICROSEG_CLICKHOUSE_DSN, if it is set
	// KeepFree bytes of the disk the embedded server leaves alone: it refuses
	// inserts (NOT_ENOUGH_SPACE) before a write fails half-way. 0: none.
	KeepFree uint64
	// Accounts are users beside User and Analyst, for tests.
	Accounts []Account
	// StartTimeout bounds the wait for an answer; 0: 30 s.
	StartTimeout time.Duration
}

// Account is a user and what it may do, as GRANT statements without the user's name.
type Account struct {
	Name, Password string
	Reads          bool // within the limits of Analyst
	Grants         []string
}

// Server is a running ClickHouse.
type Server struct {
	opts      Options
	dsn       string
	password  string // of User
	analyst   string // the password of Analyst
	tcp, http int
	// Exposed says what the embedded library gives whoever may ask it beside the
	// tables, where the kernel cannot forbid it, and whether a stranger can end it;
	// empty: nothing, and no.
	Exposed string

	mu    sync.Mutex
	child *child // nil for a server that someone else runs; Keep replaces it
}

// ErrPortTaken is returned by Start when a port that was asked for is taken.
var ErrPortTaken = errors.New("the port is taken")

// tries bounds how often Start picks other free ports.
const tries = 5

// Start runs a server (or uses the one of Options.DSN) and returns
// when it answers queries. The caller must call HandleChild first thing in its
// main function. The child dies with this process, however that ends.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.StartTimeout == 0 {
		o.StartTimeout = 30 * time.Second
	}
	if o.Database == "" {
		o.Database = "microseg"
	}
	found, err := o.find()
	if err != nil {
		return nil, err
	}
	if found.DSN != "" {
		return &Server{opts: o, dsn: found.DSN}, nil
	}
	if o.Dir, err = filepath.Abs(o.Dir); err == nil {
		err = os.MkdirAll(filepath.Join(o.Dir, "tmp"), 0o700)
	}
	if err == nil {
		err = private(o.Dir, 0o700) // an earlier version made it for all to read
	}
	if err != nil {
		return nil, fmt.Errorf("making ClickHouse's data folder: %w", err)
	}
	for try := 1; ; try++ {
		s, err := o.start(ctx, found)
		// Someone may have taken a port between our look and the child's.
		if errors.Is(err, ErrPortTaken) && try < tries && (o.TCPPort == 0 || o.HTTPPort == 0) {
			continue
		}
		return s, err
	}
}

func (o Options) find() (Found, error) {
	switch {
	case o.DSN != "":
		return Found{DSN: o.DSN}, nil
	case o.Lib != "":
		return Found{Lib: o.Lib}, nil
	}
	var outside error // of a clone there is no cache, but there may be others
	if o.CacheDir == "" {
		var cache string
		if cache, outside = downloads.Dir(); outside == nil {
			o.CacheDir = filepath.Join(cache, "clickhouse")
		}
	}
	found, err := Find(o.CacheDir)
	if err != nil {
		err = errors.Join(err, outside)
	}
	return found, err
}

func (o Options) start(ctx context.Context, found Found) (*Server, error) {
	tcp, http, err := o.ports()
	if err != nil {
		return nil, err
	}
	password, err := secret(o.Dir, User)
	if err != nil {
		return nil, err
	}
	analyst, err := secret(o.Dir, Analyst)
	if err != nil {
		return nil, err
	}
	config, err := writeConfig(o, map[string]string{User: password, Analyst: analyst}, tcp, http, found.Binary != "")
	if err != nil {
		return nil, err
	}
	cmd, loose := command(found, config)
	c, err := startChild(cmd, filepath.Join(o.Dir, "server.log"))
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, tcp: tcp, http: http, child: c, password: password, analyst: analyst}
	s.dsn = s.dsnOf(User, password)
	if found.Lib != "" {
		s.Exposed = strings.TrimPrefix(exposed()+loose, "; ")
	}
	err = s.wait(ctx, o.StartTimeout)
	if found.Lib != "" {
		err = errors.Join(err, os.RemoveAll(nowhere(o.Dir)))
	}
	if err != nil {
		c.stop(0)
		return nil, err
	}
	return s, nil
}

// DSN is the server's address for clickhouse-go. Its database may not exist
// yet: the migrations make it.
func (s *Server) DSN() string { return s.dsn }

// AnalystDSN is the same address for Analyst; empty for a server from a DSN.
func (s *Server) AnalystDSN() string {
	if s.analyst == "" {
		return ""
	}
	return s.dsnOf(Analyst, s.analyst)
}

func (s *Server) dsnOf(user, password string) string {
	return fmt.Sprintf("clickhouse://%s:%s@%s/%s", user, password, s.Addr(), s.opts.Database)
}

// Addr is host:port of the native protocol; empty for a server from a DSN.
func (s *Server) Addr() string { return addr(s.tcp) }

// HTTPAddr is host:port of the HTTP interface; empty for a server from a DSN.
func (s *Server) HTTPAddr() string { return addr(s.http) }

// Password of User; empty for a server from a DSN.
func (s *Server) Password() string { return s.password }

// Embedded reports whether this process started the server.
func (s *Server) Embedded() bool { return s.process() != nil }

func (s *Server) process() *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child
}

// PID is the child's process id, 0 for a server from a DSN.
func (s *Server) PID() int {
	c := s.process()
	if c == nil {
		return 0
	}
	return c.cmd.Process.Pid
}

// Log is the path of the child's log file.
func (s *Server) Log() string { return filepath.Join(s.opts.Dir, "server.log") }

// Stop ends the child: SIGTERM, and SIGKILL when it is still there after 10 s.
// It does nothing to a server that someone else runs.
func (s *Server) Stop() error {
	c := s.process()
	if c == nil {
		return nil
	}
	return c.stop(10 * time.Second)
}

// Kill ends the child at once, as a crash would.
func (s *Server) Kill() {
	if c := s.process(); c != nil {
		c.stop(0)
	}
}

// Exited is closed when the child has ended; nil for a server from a DSN.
func (s *Server) Exited() <-chan struct{} {
	c := s.process()
	if c == nil {
		return nil
	}
	return c.done
}
