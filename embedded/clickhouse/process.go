package clickhouse

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a process that ends with ours.
type child struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the process has ended
}

// command runs the server. loose says what it lacks; empty: nothing.
func command(found Found, config string) (cmd *exec.Cmd, loose string) {
	dir := filepath.Dir(config)
	if found.Binary != "" {
		args := []string{"--config-file=" + config}
		if filepath.Base(found.Binary) == "clickhouse" {
			args = append([]string{"server"}, args...)
		}
		cmd = exec.Command(found.Binary, args...)
		cmd.Env, cmd.Dir = environment(dir), dir
		return cmd, ""
	}
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	cmd = exec.Command(self, found.Lib, config)
	cmd.Env, cmd.Dir = append(environment(dir), childEnv+"=1"), nowhere(dir)
	input, other, err := terminal()
	if err != nil {
		return cmd, fmt.Sprintf("; there is no terminal for the embedded ClickHouse (%v), so that whoever reaches its port can end it: give this machine /dev/ptmx and /dev/pts", err)
	}
	cmd.Stdin, cmd.ExtraFiles = input, []*os.File{input, other}
	return cmd, ""
}

// environment of the server: of ours, which holds secrets, what it needs. The
// server's own is there to be read for whoever may ask it (see confine).
func environment(dir string) []string {
	out := []string{"TMPDIR=" + filepath.Join(dir, "tmp")}
	for _, name := range []string{"PATH", "HOME", "TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// nowhere is the working folder of the embedded library, which is taken away when it
// has started: the scalar function file() looks for that folder first, whatever its
// argument is. No grant and no setting refuses that function, and what confine leaves
// to it are the tables of all databases, also those that a user may not read.
func nowhere(dir string) string { return filepath.Join(dir, "tmp", "nowhere") }

// startChild starts cmd with its output in the log file, a new one each time. The
// files that it gives the child are closed here.
func startChild(cmd *exec.Cmd, log string) (*child, error) {
	defer func() {
		for _, f := range cmd.ExtraFiles {
			f.Close()
		}
	}()
	if err := os.MkdirAll(cmd.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making ClickHouse's working folder: %w", err)
	}
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("opening ClickHouse's log: %w", err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = dieWithParent()
	c := &child{cmd: cmd, log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ties the child's life to the thread that forked it, not to
		// the process: that thread must live as long as the child.
		runtime.LockOSThread()
		err := cmd.Start()
		if err == nil {
			yield(cmd.Process.Pid)
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is told by the log
		}
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting ClickHouse: %w", err)
	}
	return c, nil
}

// stop asks the child to end and kills it when it has not within grace.
// yield makes the server give way to the process that decides: the record may
// be a moment later. Where that is not allowed it stays as it is.
func yield(pid int) { _ = syscall.Setpriority(syscall.PRIO_PROCESS, pid, niceness) }

// niceness of the server among the processes of this machine.
const niceness = 5

func (c *child) stop(grace time.Duration) error {
	if grace > 0 {
		_ = c.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
		select {
		case <-c.done:
			return nil
		case <-time.After(grace):
		}
	}
	_ = c.cmd.Process.Kill()
	<-c.done
	if grace > 0 {
		return fmt.Errorf("stopping ClickHouse: it had to be killed after %v (its log is %s)", grace, c.log)
	}
	return nil
}

// wait returns when the server answers for its own data folder, or fails with
// the end of its log.
func (s *Server) wait(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		if s.answers(ctx) {
			return nil
		}
		select {
		case <-s.Exited():
			return s.failure("it ended at once")
		case <-ctx.Done():
			return s.failure(ctx.Err().Error())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// answers asks for the disk's path: another server on the same port, started
// between our look at the port and the child's, would name another one.
func (s *Server) answers(ctx context.Context) bool {
	u := "http://" + s.HTTPAddr() + "/?query=" + url.QueryEscape("SELECT path FROM system.disks WHERE name = 'default'")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return false
	}
	req.SetBasicAuth(User, s.password)
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	return err == nil && filepath.Clean(strings.TrimSpace(string(body))) == s.opts.Dir
}

func (s *Server) failure(why string) error {
	text, err := os.ReadFile(s.Log())
	if err != nil {
		text = []byte(err.Error())
	}
	tail := strings.TrimSpace(string(text[max(0, len(text)-2000):]))
	if strings.Contains(tail, "Address already in use") {
		return fmt.Errorf("starting ClickHouse on ports %d and %d: %w\n%s", s.tcp, s.http, ErrPortTaken, tail)
	}
	return fmt.Errorf("starting ClickHouse: %s; the end of %s:\n%s", why, s.Log(), tail)
}

// ports returns the ports asked for, or free ones.
func (o Options) ports() (tcp, http int, err error) {
	if tcp, err = free(o.TCPPort); err == nil {
		http, err = free(o.HTTPPort)
	}
	return tcp, http, err
}

func free(port int) (int, error) {
	l, err := net.Listen("tcp", addr0(port))
	if err != nil {
		if port != 0 {
			return 0, fmt.Errorf("starting ClickHouse on port %d: %w", port, ErrPortTaken)
		}
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func addr0(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func addr(port int) string {
	if port == 0 {
		return ""
	}
	return addr0(port)
}
