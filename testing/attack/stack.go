package attack

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/microseg/microseg/measure/usage"
	"github.com/microseg/microseg/testing/harness/child"
)

// stackConfig is a young shop of its own, as shipped but for the sample: the crowd
// is sixty visitors, so that their segment is decided in minutes.
const stackConfig = `site: attack
collector:
  write_keys: [public]
audience:
  min_sample: 30
`

// startFor bounds the start of a stack, on a slow machine.
const startFor = 3 * time.Minute

// stack is `microseg up` with a configuration that checks who sends.
type stack struct {
	o       *Options
	process *child.Process
	starts  int
	http    string // host:port, which it keeps
	admin   string // host:port of health and metrics
	pid     int
}

// open looks at the node that is named, or starts a stack.
func (s *suite) open(ctx context.Context) error {
	if s.o.URL != "" {
		u, err := url.Parse(strings.TrimRight(s.o.URL, "/"))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("%q is no address of a node: write one like http://127.0.0.1:8080", s.o.URL)
		}
		s.o.URL = u.String()
		return nil
	}
	s.o.WriteKey, s.o.IdentityKey, s.o.ServerKey = "public", rand.Text()+rand.Text(), rand.Text()+rand.Text()
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return fmt.Errorf("making the stack's folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.o.Dir, "attack.yaml"), append([]byte(stackConfig), s.o.Config...), 0o600); err != nil {
		return fmt.Errorf("writing the stack's configuration: %w", err)
	}
	s.stack = &stack{o: &s.o}
	return s.stack.start(ctx)
}

func (k *stack) start(ctx context.Context) error {
	args := []string{"up", "--dir", k.o.Dir, "--config", filepath.Join(k.o.Dir, "attack.yaml"), "--visitors", "0"}
	if _, port, ok := strings.Cut(k.http, ":"); ok {
		args = append(args, "--http-port", port)
	}
	addresses := filepath.Join(k.o.Dir, "addresses.json")
	_ = os.Remove(addresses) // of the start before
	c := exec.Command(k.o.Binary, args...)
	c.Env = append(os.Environ(), "MICROSEG_IDENTITY_KEYS="+k.o.IdentityKey, "MICROSEG_SERVER_KEYS="+k.o.ServerKey)
	var err error
	if k.process, err = child.Start(c, filepath.Join(k.o.Dir, fmt.Sprintf("up-%d.log", k.starts))); err != nil {
		return err
	}
	k.starts++
	k.pid = c.Process.Pid
	return k.process.Wait(ctx, startFor, func(ctx context.Context) bool { return k.ready(ctx, addresses) })
}

func (k *stack) ready(ctx context.Context, addresses string) bool {
	b, err := os.ReadFile(addresses)
	var a struct {
		HTTP  string
		Admin string `json:"admin_http"`
	}
	if err != nil || json.Unmarshal(b, &a) != nil || a.HTTP == "" {
		return false
	}
	k.admin = a.Admin
	k.http, k.o.URL = a.HTTP, "http://"+a.HTTP
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.o.URL+"/readyz", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// kill ends the stack as a lack of memory would.
func (k *stack) kill() {
	k.process.Kill()
}

// alive says whether the process has not ended by itself.
func (k *stack) alive() bool {
	select {
	case <-k.process.Exited():
		return false
	default:
		return true
	}
}

func (s *suite) close() {
	if s.stack == nil {
		return
	}
	s.stack.process.Signal(syscall.SIGTERM)
	select {
	case <-s.stack.process.Exited():
	case <-time.After(time.Minute):
		s.stack.process.Kill()
	}
}

// rss is the memory that the stack's process has, MB; 0 where that is not known.
func (s *suite) rss() float64 {
	if s.stack == nil {
		return 0
	}
	return round(usage.MB(s.stack.pid))
}

// watchRSS looks at the memory until peak is called, which says the most that it was.
func (s *suite) watchRSS() (peak func() float64) {
	done, most := make(chan struct{}), s.rss()
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			most = max(most, s.rss())
			select {
			case <-done:
				return
			case <-time.After(500 * time.Millisecond):
			}
		}
	})
	return func() float64 { close(done); looking.Wait(); return most }
}
