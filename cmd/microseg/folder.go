package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/microseg/microseg/clients"
	"github.com/spf13/cobra"
)

// dataDir is where everything lies that commands keep when no --dir is given:
// the demo's stack in it, that of `up` in upDir.
const dataDir = ".microseg"

var upDir = filepath.Join(dataDir, "up")

// addresses is what addresses.json in a stack's folder holds while it runs.
type addresses struct {
	PID              int    `json:"pid"`
	Kafka            string `json:"kafka"`
	ClickHouseNative string `json:"clickhouse_native"`
	ClickHouseHTTP   string `json:"clickhouse_http"`
	HTTP             string `json:"http"`
	Site             string `json:"site"`
	Topic            string `json:"topic"`
	DSN              string `json:"clickhouse_dsn"`
	AnalystDSN       string `json:"clickhouse_analyst_dsn,omitempty"` // for your own queries: it reads the tables, within limits
	AdminHTTP        string `json:"admin_http,omitempty"`
	AdminKey         string `json:"admin_key_file,omitempty"`
}

// lockName is the file that whoever uses a folder holds locked, with its pid.
const lockName = "pid"

// busyError says that another process uses a folder.
type busyError struct {
	dir string
	pid string // empty where it has not said
}

func (e *busyError) Error() string {
	return fmt.Sprintf("already running as pid %s in %s: stop that one (`kill %s`), or give another folder with --dir", e.pid, e.dir, e.pid)
}

// lockFolder makes this process the only one that uses dir, until it ends or
// unlocks it. The kernel gives the lock back however the process ends, so what
// one that was killed leaves is in nobody's way.
func lockFolder(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { // an earlier version made it for all to read
		return nil, fmt.Errorf("taking the data folder from other users of this machine: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking the data folder %s: %w", dir, err)
		}
		return nil, &busyError{dir, lockedBy(dir)}
	}
	// The lock is what counts; a disk may be too full for the pid.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return func() { f.Close() }, nil
}

// lockedBy is the pid that the owner of a folder's lock has written.
func lockedBy(dir string) string {
	b, _ := os.ReadFile(filepath.Join(dir, lockName))
	return strings.TrimSpace(string(b))
}

// isRunning reports whether a process uses the folder.
func isRunning(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// folder is the --dir of commands that look for a stack.
type folder struct{ dir string }

func (o *folder) flag(c *cobra.Command) {
	c.PersistentFlags().StringVar(&o.dir, "dir", "", "`folder` of the stack (default: that of up if it runs, else the last demo's)")
}

// candidates are the folders to look in, the likeliest first.
func (o *folder) candidates() []string {
	if o.dir != "" {
		return []string{o.dir}
	}
	return []string{upDir, dataDir}
}

// running reads the addresses of the stack that another process keeps up.
func (o *folder) running() (addresses, error) {
	dirs := o.candidates()
	for _, dir := range dirs {
		if !isRunning(dir) {
			continue
		}
		var a addresses
		b, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
		if err == nil {
			err = json.Unmarshal(b, &a)
		}
		if err != nil {
			return a, fmt.Errorf("reading the addresses of the stack in %s (pid %s; is it still starting?): %w", dir, lockedBy(dir), err)
		}
		return a, nil
	}
	return addresses{}, fmt.Errorf("%w in %s: start one with `./run.sh up`, name its folder with --dir, or give addresses of your own (see --help)", errNotRunning, strings.Join(dirs, " or "))
}

var errNotRunning = errors.New("no stack is running")

// log is the log that was named, or that of the stack that runs here.
func (o *folder) log(brokers, topic string) ([]string, string, error) {
	seeds := split(brokers)
	if brokers == "" {
		a, err := o.running()
		if err != nil {
			return nil, "", err
		}
		seeds = []string{a.Kafka}
		clients.Kafka.Ours() // the stack has said so
		if topic == "" {
			topic = a.Topic
		}
	}
	if topic == "" {
		topic = "events"
	}
	return seeds, topic, nil
}
