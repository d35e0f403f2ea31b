package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/microseg/microseg/measure/usage"
	"github.com/microseg/microseg/serving/node"
)

// nodeProcess is a serving node in a process of its own, so that its memory and
// CPU are nobody else's.
type nodeProcess struct {
	cmd   *exec.Cmd
	addr  string
	admin string // address of its admin listener
	start time.Time
	ready time.Duration // from the start of the process
	ended chan error
}

// bootstrapResult is what a node with all profiles takes.
type bootstrapResult struct {
	Profiles int     `json:"profiles"`
	Seconds  float64 `json:"seconds"` // from the start of the process until it is ready
	RSSMB    float64 `json:"rss_mb"`
	PeakMB   float64 `json:"peak_rss_mb"`
	HeapMB   float64 `json:"heap_mb"`
}

// startNode starts a node and waits until it is ready.
func startNode(ctx context.Context, brokers []string, o *serveOptions) (*nodeProcess, error) {
	args := []string{"serve", "--brokers", strings.Join(brokers, ","), "--topic", benchTopic, "--http", "127.0.0.1:0"}
	if o.config != "" {
		args = append(args, "--config", o.config)
	}
	if o.Profile != "" {
		args = append(args, "--cpuprofile", o.Profile)
	}
	n := &nodeProcess{cmd: exec.Command(o.Binary, args...), start: time.Now(), ended: make(chan error, 1)}
	n.cmd.Env = append(os.Environ(), node.EnvTokenKeys+"=bench:"+strings.Repeat("0b", 32), node.EnvServerKeys+"="+benchServerKey)
	pipe, err := n.cmd.StderrPipe()
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting a node: %w", err)
	}
	said := bufio.NewReader(pipe)
	for n.addr == "" {
		line, err := said.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("starting a node: it ended with %w", n.cmd.Wait())
		}
		if _, rest, ok := strings.Cut(line, "serving on http://"); ok {
			n.addr, _, _ = strings.Cut(rest, " ")
		} else if _, rest, ok := strings.Cut(line, "metrics on http://"); ok {
			n.admin = strings.TrimSpace(rest)
		} else {
			fmt.Fprint(os.Stderr, line)
		}
	}
	go func() {
		io.Copy(os.Stderr, said)
		n.ended <- n.cmd.Wait()
	}()
	return n, n.wait(ctx)
}

// wait waits until the node is ready.
func (n *nodeProcess) wait(ctx context.Context) error {
	for {
		resp, err := http.Get("http://" + n.addr + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				n.ready = time.Since(n.start)
				return nil
			}
		}
		select {
		case err := <-n.ended:
			return fmt.Errorf("waiting for the node: it ended: %v", err)
		case <-ctx.Done():
			n.stop()
			return fmt.Errorf("waiting for the node: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stop ends the process.
func (n *nodeProcess) stop() error {
	if err := n.cmd.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("stopping the node: %w", err)
	}
	if err := <-n.ended; err != nil {
		return fmt.Errorf("stopping the node: %w", err)
	}
	return nil
}

// bootstrapped reports what the node took, a while after it was ready: memory
// that only the reading needed goes back to the system in the background.
func (n *nodeProcess) bootstrapped(ctx context.Context, profiles int) (*bootstrapResult, error) {
	r := &bootstrapResult{Profiles: profiles, Seconds: n.ready.Seconds()}
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
	}
	pid := n.cmd.Process.Pid
	r.RSSMB, r.PeakMB = usage.MB(pid), usage.PeakMB(pid)
	heap, err := n.metric("go_memstats_heap_alloc_bytes")
	if err != nil {
		return nil, err
	}
	r.HeapMB = heap / (1 << 20)
	held, err := n.metric("microseg_store_profiles")
	if err == nil && int(held) != profiles {
		err = fmt.Errorf("the node holds %.0f profiles, want %d", held, profiles)
	}
	return r, err
}

// metric reads one of the node's metrics.
func (n *nodeProcess) metric(name string) (float64, error) {
	resp, err := http.Get("http://" + n.admin + "/metrics")
	if err != nil {
		return 0, fmt.Errorf("reading the node's metrics: %w", err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(rest, 64)
		}
	}
	return 0, fmt.Errorf("reading the node's metrics: there is no %s", name)
}
