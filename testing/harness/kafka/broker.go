// Package kafka runs a real Apache Kafka 4 for tests: one node (KRaft, broker
// and controller) on free ports of 127.0.0.1, from jars that Maven fetches once
// into the clone's ignored .cache folder and this package pins by hash.
package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/microseg/microseg/embedded/downloads"
	"github.com/microseg/microseg/testing/harness/jvm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	startTimeout = time.Minute
	stopTimeout  = 20 * time.Second
	attempts     = 3 // of finding ports that stay free until the broker listens
)

// Broker is a running Apache Kafka.
type Broker struct {
	addr string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// Start starts a broker whose data are in dir, fetching what it needs first
// (see Fetch; its words go to standard error), and waits until it answers.
// Started again on the same folder it has the same data and the same address.
// The broker ends with Stop, Kill or this process. Topics are not created by
// being used.
func Start(ctx context.Context, dir string) (*Broker, error) { return startWith(ctx, dir, &extra{}) }

// extra is what a broker has beyond the plain one.
type extra struct {
	doors    []*door // whose ports are found here
	settings string
	scram    []string // users
}

func startWith(ctx context.Context, dir string, more *extra) (*Broker, error) {
	cache, err := downloads.Dir()
	if err != nil {
		return nil, err
	}
	if err := Fetch(ctx, cache, os.Stderr); err != nil {
		return nil, err
	}
	java, err := jvm.Find(ctx, cache, os.Stderr)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("making the broker's folder: %w", err)
	}
	libs := filepath.Join(cache, "kafka", "libs")
	for try := 1; ; try++ {
		b, fresh, err := start(ctx, java, libs, dir, more)
		if err == nil || !fresh || try == attempts || !errors.Is(err, errPortTaken) {
			return b, err
		}
		for _, name := range []string{"server.properties", "data"} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return nil, fmt.Errorf("clearing the broker's folder: %w", err)
			}
		}
	}
}

var errPortTaken = errors.New("a port is taken")

func start(ctx context.Context, java, libs, dir string, more *extra) (b *Broker, fresh bool, err error) {
	port, fresh, err := writeSettings(dir, more)
	if err != nil {
		return nil, fresh, err
	}
	conf := filepath.Join(dir, "server.properties")
	if fresh {
		args := []string{"format", "--cluster-id", clusterID, "--config", conf}
		for _, u := range more.scram {
			for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
				args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", m, u, Password))
			}
		}
		cmd := exec.CommandContext(ctx, java, javaArgs(libs, "kafka.tools.StorageTool", args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fresh, fmt.Errorf("formatting the broker's storage: %w\n%s", err, jvm.Tail(out))
		}
	}
	b = &Broker{addr: fmt.Sprintf("127.0.0.1:%d", port), log: filepath.Join(dir, "kafka.log"), done: make(chan struct{})}
	b.cmd = exec.Command(java, javaArgs(libs, "kafka.Kafka", conf)...)
	if err := b.launch(); err != nil {
		return nil, fresh, err
	}
	if err := b.wait(ctx); err != nil {
		b.Kill()
		return nil, fresh, err
	}
	return b, fresh, nil
}

// javaArgs is a small JVM that starts fast, and a main class of Kafka's.
func javaArgs(libs, main string, args ...string) []string {
	out := []string{"-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", jars.ClassPath(libs), main}
	return append(out, args...)
}

// launch starts the process with its output in the log file.
func (b *Broker) launch() error {
	out, err := os.OpenFile(b.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("opening the broker's log: %w", err)
	}
	defer out.Close()
	b.cmd.Stdout, b.cmd.Stderr, b.cmd.SysProcAttr = out, out, dieWithParent()
	started := make(chan error)
	go func() {
		// The kernel ties the child's life to the thread that forked it, not to
		// the process: that thread must live as long as the child.
		runtime.LockOSThread()
		err := b.cmd.Start()
		started <- err
		if err == nil {
			_ = b.cmd.Wait() // how it ended is told by the log
		}
		close(b.done)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting the broker: %w", err)
	}
	return nil
}

// wait returns when the broker answers.
func (b *Broker) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if b.answers(ctx) {
			return nil
		}
		select {
		case <-b.done:
			return b.failure("it ended at once")
		case <-ctx.Done():
			return b.failure(ctx.Err().Error())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *Broker) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr))
	if err != nil {
		return false
	}
	defer client.Close()
	return client.Ping(ctx) == nil
}

func (b *Broker) failure(why string) error {
	text, err := os.ReadFile(b.log)
	if err != nil {
		text = []byte(err.Error())
	}
	err = fmt.Errorf("starting the broker: %s; the end of %s:\n%s", why, b.log, jvm.Tail(text))
	if bytes.Contains(text, []byte("Address already in use")) {
		err = fmt.Errorf("%w: %w", errPortTaken, err)
	}
	return err
}

// Brokers is the address to connect to, host:port.
func (b *Broker) Brokers() []string { return []string{b.addr} }

// PID is the number of the broker's process.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

// Log is the path of the broker's log.
func (b *Broker) Log() string { return b.log }

// Stop asks the broker to end in order and waits; it is killed when it takes
// more than 20 s, which is an error.
func (b *Broker) Stop() error {
	_ = b.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	select {
	case <-b.done:
		return nil
	case <-time.After(stopTimeout):
		b.Kill()
		return fmt.Errorf("stopping the broker: it had to be killed after %v (its log is %s)", stopTimeout, b.log)
	}
}

// Exited is closed when the broker has ended.
func (b *Broker) Exited() <-chan struct{} { return b.done }

// Kill ends the broker at once, as a crash would.
func (b *Broker) Kill() {
	_ = b.cmd.Process.Kill() // fails only when it has ended
	<-b.done
}
