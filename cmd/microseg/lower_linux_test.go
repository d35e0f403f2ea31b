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

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/usage"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	lowerDevices = 200_000
	lowerCap     = 380 << 20 // bytes of data that a capped process may have
)

// lowered is a job of its own process, again and again.
type loweredJob struct {
	t        *testing.T
	dir      string
	log      *kafkalog.Log
	database *clickhouse.Server
}

// start runs the job with a limit of devices, and of its memory; 0: as much as it wants.
func (j *loweredJob) start(devices, memory int) (*exec.Cmd, *output, chan error) {
	j.t.Helper()
	file := filepath.Join(j.dir, fmt.Sprint("site-", devices, ".yaml"))
	text := strings.Replace(string(config.Shipped), "max_devices: 1000000", fmt.Sprint("max_devices: ", devices), 1)
	text = strings.Replace(text, "snapshot_interval: 30s", "snapshot_interval: 2s", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		j.t.Fatal(err)
	}
	c := program(j.t, "pipeline", "--brokers", strings.Join(j.log.Brokers(), ","), "--dsn", j.database.DSN(), "--config", file)
	if c.Env = append(c.Env, "GOMEMLIMIT="+fmt.Sprint(lowerCap/2)); memory > 0 {
		c.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -d %d; exec "$0" "$@"`, memory>>10), c.Path}, c.Args[1:]...)
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
// dies with room for all of them.
func TestComesBackWithALowerLimit(t *testing.T) {
	j := &loweredJob{t: t, dir: t.TempDir()}
	var err error
	if j.log, err = kafkalog.Start(kafkalog.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.log.Close)
	if err := kafkalog.CreateTopic(t.Context(), j.log.Brokers(), "events", 4); err != nil {
		t.Fatal(err)
	}
	if j.database, err = clickhouse.Start(t.Context(), clickhouse.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.database.Stop() })
	now := time.Now()
	j.send(0, lowerDevices, now.Add(-time.Minute))
	c, out, ended := j.start(1_000_000, 0)
	j.covered(lowerDevices, ended, out)
	t.Logf("a job that reads %d events: %.0f MB", lowerDevices, usage.PeakMB(c.Process.Pid))
	c.Process.Kill()
	<-ended

	c, out, ended = j.start(1_000_000, 0)
	await(t, "all devices in memory again", func() bool { return strings.Contains(out.String(), "going on from the changelog") })
	t.Logf("a restart with room for all, and as much memory as it wants: %.0f MB\n%s", usage.PeakMB(c.Process.Pid), last(out))
	c.Process.Kill()
	<-ended

	_, out, ended = j.start(1_000_000, lowerCap)
	select {
	case <-ended:
		if !strings.Contains(out.String(), "memory") {
			t.Fatalf("it ended otherwise:\n%s", last(out))
		}
	case <-time.After(30 * time.Second):
		t.Errorf("a job with room for all lives with %d MB", lowerCap>>20)
	}
	c, out, ended = j.start(10_000, lowerCap)
	j.send(lowerDevices, lowerDevices+1000, now)
	j.covered(lowerDevices+1000, ended, out)
	t.Logf("a restart with room for 10,000: %.0f MB", usage.PeakMB(c.Process.Pid))
}
