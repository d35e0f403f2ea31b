package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clients "github.com/microseg/microseg/clients/clickhouse"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/measure/usage"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	lowerDevices = 200_000
	lowerBehind  = 20_000    // of them, that come behind the last snapshot
	lowerCap     = 380 << 20 // bytes of data that a capped process may have
)

// lowered is a job of its own process, again and again.
type loweredJob struct {
	t        *testing.T
	dir      string // of its configuration
	folder   string // of its log
	log      *kafkalog.Log
	database *clickhouse.Server
}

// life is how a process of it is configured.
type life struct {
	devices, shards int
	memory          int    // bytes of data that it may have; 0: as much as it wants
	snapshots       string // how often
}

// start runs the job.
func (j *loweredJob) start(l life) (*exec.Cmd, *output, chan error) {
	j.t.Helper()
	file := filepath.Join(j.dir, "site.yaml")
	text := strings.Replace(string(config.Shipped), "max_devices: 1000000", fmt.Sprint("max_devices: ", l.devices), 1)
	text = strings.Replace(text, "snapshot_interval: 30s", "snapshot_interval: "+l.snapshots, 1)
	text = strings.Replace(text, "  shards: 0 ", fmt.Sprint("  shards: ", l.shards, " "), 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		j.t.Fatal(err)
	}
	c := program(j.t, "pipeline", "--brokers", strings.Join(j.log.Brokers(), ","), "--dsn", j.database.DSN(), "--config", file)
	if c.Env = append(c.Env, "GOMEMLIMIT="+fmt.Sprint(lowerCap/2)); l.memory > 0 {
		c.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -d %d; exec "$0" "$@"`, l.memory>>10), c.Path}, c.Args[1:]...)
		c.Path = "/bin/sh"
	}
	out := &output{}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		j.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	j.t.Cleanup(func() { c.Process.Kill() })
	return c, out, ended
}

// copy is the job, which has ended, on a copy of its log.
func (j *loweredJob) copy(t *testing.T) *loweredJob {
	t.Helper()
	next := &loweredJob{t: t, dir: t.TempDir(), folder: t.TempDir(), database: j.database}
	j.log.Close() // writes what is not in its folder yet
	if err := os.CopyFS(next.folder, os.DirFS(j.folder)); err != nil {
		t.Fatal(err)
	}
	next.open()
	return next
}

// open starts the log.
func (j *loweredJob) open() {
	j.t.Helper()
	var err error
	if j.log, err = kafkalog.Start(kafkalog.Options{Dir: j.folder}); err != nil {
		j.t.Fatal(err)
	}
	j.t.Cleanup(j.log.Close)
}

// shown waits until ClickHouse has so many persons.
func (j *loweredJob) shown(n int) {
	j.t.Helper()
	opts, err := clients.ParseDSN(j.database.DSN())
	if err != nil {
		j.t.Fatal(err)
	}
	conn, err := clients.Open(opts)
	if err != nil {
		j.t.Fatal(err)
	}
	defer conn.Close()
	await(j.t, fmt.Sprint(n, " persons in ClickHouse"), func() bool {
		var is uint64
		err := conn.QueryRow(j.t.Context(), "SELECT uniqExact(person) FROM segment_state").Scan(&is)
		return err == nil && int(is) >= n
	})
}

// covered waits until snapshots have so many records.
func (j *loweredJob) covered(n int64, ended chan error, out *output) {
	j.t.Helper()
	await(j.t, fmt.Sprint(n, " records in snapshots"), func() bool {
		select {
		case err := <-ended:
			j.t.Fatalf("the job ended: %v\n%s", err, last(out))
		default:
		}
		offsets, _, err := changelogio.Covered(context.Background(), j.log.Brokers(), changelogio.Topic("events"))
		sum := int64(0)
		for _, o := range offsets {
			sum += o + 1
		}
		return err == nil && sum >= n
	})
}

func last(out *output) string {
	text := out.String()
	return text[max(0, len(text)-3000):]
}

// ofMemory reports whether a process says that it ended for want of memory; a new thread's
// stack is memory, too.
func ofMemory(text string) bool {
	return strings.Contains(text, "memory") || strings.Contains(text, "pthread_create failed") || strings.Contains(text, "failed to create new OS thread")
}

// send sends a page of each of some devices.
func (j *loweredJob) send(from, to int, at time.Time) {
	j.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(j.log.Brokers()...), kgo.DefaultProduceTopic("events"))
	if err != nil {
		j.t.Fatal(err)
	}
	defer cl.Close()
	stamp := at.UTC().Format("2006-01-02T15:04:05.000Z")
	for i := from; i < to; i++ {
		v := fmt.Sprintf(`{"type":"page","anonymousId":"stranger-%d","messageId":"m%d","timestamp":%q,"receivedAt":%q,"properties":{"path":"/product/1"}}`, i, i, stamp, stamp)
		cl.Produce(j.t.Context(), &kgo.Record{Key: fmt.Appendf(nil, "stranger-%d", i), Value: []byte(v)}, nil)
	}
	if err := cl.Flush(j.t.Context()); err != nil {
		j.t.Fatal(err)
	}
}

// TestComesBackWithALowerLimit: a job that had died of memory died of it again at each
// start: it read all devices before it could let one go. Of 200,000 strangers of one event
// it comes back with room for 10,000, in a process that may have so little memory that it
// dies with room for all of them: killed with something behind its last snapshot, or
// stopped in order, and with the shards that it had or others, which deal its states out.
func TestComesBackWithALowerLimit(t *testing.T) {
	now := time.Now()
	full := life{devices: 1_000_000, shards: 2, snapshots: "2s"}
	stopped := &loweredJob{t: t, dir: t.TempDir(), folder: t.TempDir()}
	stopped.open()
	if err := kafkalog.CreateTopic(t.Context(), stopped.log.Brokers(), "events", 4); err != nil {
		t.Fatal(err)
	}
	var err error
	if stopped.database, err = clickhouse.Start(t.Context(), clickhouse.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped.database.Stop() })
	stopped.send(0, lowerDevices-lowerBehind, now.Add(-time.Minute))
	c, out, ended := stopped.start(full)
	stopped.covered(lowerDevices-lowerBehind, ended, out)
	t.Logf("a job that reads %d events: %.0f MB", lowerDevices-lowerBehind, usage.PeakMB(c.Process.Pid))
	stopInOrder(t, c, ended)

	killed := stopped.copy(t)
	killed.send(lowerDevices-lowerBehind, lowerDevices, now)
	full.snapshots = "1h"
	c, _, ended = killed.start(full)
	killed.shown(lowerDevices)
	t.Logf("a restart with room for all, and as much memory as it wants: %.0f MB", usage.PeakMB(c.Process.Pid))
	c.Process.Kill()
	<-ended

	dies := killed.copy(t)
	full.memory = lowerCap
	_, out, ended = dies.start(full)
	select {
	case <-ended:
		if !ofMemory(out.String()) {
			t.Fatalf("it ended otherwise:\n%.3000s", out.String())
		}
	case <-time.After(30 * time.Second):
		t.Errorf("a job with room for all lives with %d MB", lowerCap>>20)
	}
	for _, v := range []struct {
		name    string
		of      *loweredJob
		records int
		shards  int
	}{
		{"killed", killed, lowerDevices, 2},
		{"killed, with other shards", killed, lowerDevices, 3},
		{"stopped, with other shards", stopped, lowerDevices - lowerBehind, 1},
	} {
		t.Run(v.name, func(t *testing.T) {
			j := v.of.copy(t)
			j.send(lowerDevices, lowerDevices+1000, now)
			c, out, ended := j.start(life{devices: 10_000, shards: v.shards, memory: lowerCap, snapshots: "2s"})
			j.covered(int64(v.records+1000), ended, out)
			t.Logf("a restart with room for 10,000: %.0f MB", usage.PeakMB(c.Process.Pid))
			c.Process.Kill()
			<-ended
		})
	}
}

// stopInOrder ends a process as an operator does.
func stopInOrder(t *testing.T, c *exec.Cmd, ended chan error) {
	t.Helper()
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(2 * time.Minute):
		t.Fatal("it does not end")
	}
}
