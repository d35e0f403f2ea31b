package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/testing/harness/child"
)

// words are what a process says.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *words) has(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), text)
}

// TestWaitsForItsStores: a job whose log and ClickHouse came up after it ended
// with an error each time that it was started, 27 times in one run of
// testing/faults. It says what it waits for, goes on by itself, and ends at once
// where waiting does not help, or when it is told to.
func TestWaitsForItsStores(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	said := &words{}
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(said, nil)))
	defer slog.SetDefault(before)

	const site = "waits"
	dir := t.TempDir()
	log, err := kafkalog.Start(kafkalog.Options{Dir: dir, Topics: []string{site}})
	check(t, err)
	brokers := log.Brokers()
	log.Close()
	port, err := child.FreePort()
	check(t, err)
	data := t.TempDir() // its password is there before the server is
	check(t, os.WriteFile(clickhouse.PasswordFile(data, clickhouse.User), []byte("early"), 0o600))
	dsn := fmt.Sprintf("clickhouse://%s:early@127.0.0.1:%d/microseg", clickhouse.User, port)
	cfg := config.Demo()
	var j *pipelines.Job
	made := make(chan error, 1)
	go func() {
		made <- pipelines.Await(ctx, func() (err error) {
			j, err = pipelines.NewJob(ctx, cfg, brokers, site, site, dsn)
			return err
		})
	}()
	waitFor(t, "a word about the log", func() bool { return said.has("the log at [" + brokers[0]) })
	log, err = kafkalog.Start(kafkalog.Options{Dir: dir, Port: portOf(t, brokers[0])})
	check(t, err)
	waitFor(t, "a word about ClickHouse", func() bool { return said.has(fmt.Sprintf("ClickHouse at 127.0.0.1:%d", port)) })
	ch, err := clickhouse.Start(ctx, clickhouse.Options{Dir: data, TCPPort: port})
	check(t, err)
	defer ch.Kill()
	check(t, <-made)

	log.Close()
	started := make(chan error, 1)
	go func() { started <- pipelines.Await(ctx, func() error { return j.Start(ctx) }) }()
	waitFor(t, "a second word about the log", func() bool { return said.has("begins and ends") })
	log, err = kafkalog.Start(kafkalog.Options{Dir: dir, Port: portOf(t, brokers[0])})
	check(t, err)
	defer log.Close()
	check(t, <-started)
	check(t, j.Stop())

	refused(t, ctx, "AUTH", func() error {
		_, err := pipelines.NewJob(ctx, cfg, brokers, site, site, fmt.Sprintf("clickhouse://default:wrong@127.0.0.1:%d/microseg", port))
		return err
	})
	refused(t, ctx, "UNKNOWN_TOPIC", func() error {
		_, err := pipelines.NewJob(ctx, cfg, brokers, "nobody-made-it", site, dsn)
		return err
	})
}

// refused fails when f is called more than once.
func refused(t *testing.T, ctx context.Context, why string, f func() error) {
	t.Helper()
	calls := 0
	err := pipelines.Await(ctx, func() error { calls++; return f() })
	if err == nil || calls != 1 || !strings.Contains(strings.ToUpper(err.Error()), why) {
		t.Errorf("%d attempts, then %v; want %s at once", calls, err, why)
	}
}

// TestWaitingEnds: a signal ends a job that waits, also for a server that takes
// connections and never says anything.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer silent.Close()
	for _, err := range []error{&pipelines.UnavailableError{What: "the log", Err: os.ErrDeadlineExceeded}, nil} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- pipelines.Await(ctx, func() error {
				if cancel(); err != nil {
					return err
				}
				c, err := net.Dial("tcp", silent.Addr().String())
				if err == nil {
					defer c.Close()
					_, err = c.Read(make([]byte, 1))
				}
				return err
			})
		}()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	check(t, err)
	port, err := strconv.Atoi(text)
	check(t, err)
	return port
}
