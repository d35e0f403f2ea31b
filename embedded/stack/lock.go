package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Home is where everything lies that commands keep when no folder is given.
const Home = ".microseg"

// lockName is the file that whoever uses a folder holds locked, with its pid.
const lockName = "pid"

// BusyError says that another process uses a folder.
type BusyError struct {
	Dir string
	PID string // empty where it has not said
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("already running as pid %s in %s: stop that one (`kill %s`), or give another folder with --dir", e.PID, e.Dir, e.PID)
}

// Lock makes this process the only one that uses dir, until it ends or
// unlocks it. The kernel gives the lock back however the process ends, so what
// one that was killed leaves is in nobody's way.
func Lock(dir string) (unlock func(), err error) {
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
		return nil, &BusyError{Dir: dir, PID: LockedBy(dir)}
	}
	// The lock is what counts; a disk may be too full for the pid.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return func() { f.Close() }, nil
}

// LockedBy is the pid that the owner of a folder's lock has written.
func LockedBy(dir string) string {
	b, _ := os.ReadFile(filepath.Join(dir, lockName))
	return strings.TrimSpace(string(b))
}

// IsRunning reports whether a process uses the folder.
func IsRunning(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}
