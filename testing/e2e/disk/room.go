// Package disk runs the real binary on a file system of its own that fills up.
package disk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/microseg/microseg/testing/harness/child"
)

// room is a small tmpfs in a mount namespace that a sleeping process holds: no
// root is needed, only user namespaces. Programs enter it; this process looks
// into it through /proc.
type room struct {
	dir    string // inside
	holder *child.Process
	pid    int
}

// newRoom makes a room of so many bytes at dir, which must exist.
func newRoom(ctx context.Context, dir string, bytes int64) (*room, error) {
	pidFile := filepath.Join(filepath.Dir(dir), "holder.pid")
	script := fmt.Sprintf("mount -t tmpfs -o size=%d tmpfs %q && echo $$ > %q && exec sleep 100000", bytes, dir, pidFile)
	p, err := child.Start(exec.Command("unshare", "-rm", "sh", "-c", script), filepath.Join(filepath.Dir(dir), "holder.log"))
	if err != nil {
		return nil, fmt.Errorf("making a small file system (it takes unshare of util-linux): %w", err)
	}
	r := &room{dir: dir, holder: p}
	err = p.Wait(ctx, 10*time.Second, func(context.Context) bool {
		text, err := os.ReadFile(pidFile)
		if err == nil {
			r.pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil
	})
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("making a small file system (it takes user namespaces): %w", err)
	}
	return r, nil
}

// command runs a program inside, in the folder wd.
func (r *room) command(wd, name string, args ...string) *exec.Cmd {
	// Entering a mount namespace leaves the working directory behind.
	enter := []string{"--preserve-credentials", "-U", "-m", "-t", strconv.Itoa(r.pid), "sh", "-c", `cd "$0" && exec "$@"`, wd, name}
	return exec.Command("nsenter", append(enter, args...)...)
}

// path of a file inside, as this process sees it.
func (r *room) path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(r.pid), "root", r.dir, name)
}

func (r *room) free() (int64, error) {
	var st syscall.Statfs_t
	err := syscall.Statfs(r.path(""), &st)
	return int64(st.Bavail) * st.Bsize, err
}

// fill leaves so many bytes free, or fewer.
func (r *room) fill(left int64) error {
	f, err := os.OpenFile(r.path("ballast"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for {
		n, err := r.free()
		if err != nil || n <= left {
			return err
		}
		if _, err := f.Write(block[:min(int64(len(block)), n-left)]); err != nil {
			if left == 0 {
				return nil // full is what it should be
			}
			return err
		}
	}
}

// clear removes what fill has written.
func (r *room) clear() error { return os.Remove(r.path("ballast")) }

func (r *room) close() { r.holder.Kill() }
