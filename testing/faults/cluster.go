package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/sinks/clickhouseio/migrations"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/microseg/microseg/testing/harness/child"
	"github.com/microseg/microseg/testing/harness/kafka"
)

// Names of what runs.
const (
	site       = "faults"
	topic      = "events"
	partitions = 4
	nodes      = 2
	adminKey   = "the-admin-key-of-the-faults-is-long-enough"
)

// skews are how far the clocks of machines are ahead: each node has its own, and
// the job goes from one to the next whenever it starts again.
var skews = [nodes + 1]time.Duration{5 * time.Minute, -5 * time.Minute, 0}

// secrets of the nodes.
var secrets = []string{"MICROSEG_TOKEN_KEYS=k:" + strings.Repeat("5a", 32), "MICROSEG_ADMIN_KEY=" + adminKey, "MICROSEG_IDENTITY_KEYS=" + identityKey}

// cluster is everything that runs: Kafka, ClickHouse, the job and two nodes,
// each a process of its own.
type cluster struct {
	binary     string
	dir        string
	report     func(string, ...any)
	kafka      *unit
	clickhouse *unit
	pipeline   *unit
	nodes      []*unit
	brokers    []string
	dsn        string
	urls       []string // of the nodes
	admins     []string // of their admin listeners
	cancel     context.CancelFunc
	keepers    sync.WaitGroup
}

// startCluster starts everything below dir and returns when the log and
// ClickHouse answer and the topics are there.
func startCluster(ctx context.Context, binary, dir string, report func(string, ...any)) (*cluster, error) {
	if os.Getenv(clickhouse.DSNEnv) != "" {
		return nil, fmt.Errorf("%s is set, and ClickHouse is to be killed again and again: unset it, so that an embedded one is started", clickhouse.DSNEnv)
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &cluster{binary: binary, dir: dir, report: report, cancel: cancel}
	if err := c.startStores(ctx); err != nil {
		c.close()
		return nil, err
	}
	c.pipeline = newUnit(kindPipeline, report, func(_ context.Context, n int) (process, error) {
		return c.run(fmt.Sprintf("pipeline-%d", n), skews[n%len(skews)], "pipeline", "--brokers", c.brokers[0], "--dsn", c.dsn, "--topic", topic, "--site", site)
	})
	c.keep(ctx, c.pipeline)
	for i := range nodes {
		if err := c.startNode(ctx, i); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// startStores starts the log and ClickHouse, on ports that they keep.
func (c *cluster) startStores(ctx context.Context) error {
	ports := [2]int{}
	for i := range ports {
		var err error
		if ports[i], err = child.FreePort(); err != nil {
			return err
		}
	}
	c.clickhouse = newUnit(kindClickHouse, c.report, func(ctx context.Context, n int) (process, error) {
		dir := filepath.Join(c.dir, "clickhouse")
		if err := keepLog(filepath.Join(dir, "server.log"), n); err != nil {
			return nil, err
		}
		s, err := clickhouse.Start(ctx, clickhouse.Options{Dir: dir, TCPPort: ports[0], HTTPPort: ports[1]})
		if err != nil {
			return nil, err
		}
		if c.dsn == "" {
			c.dsn = s.DSN()
		}
		again := func(why error) {
			c.report("%v", why)
			c.clickhouse.again()
			if err := keepLog(s.Log(), int(time.Now().UnixMilli())); err != nil {
				c.report("%v", err)
			}
		}
		return &kept{s, s.Keep(again), make(chan struct{})}, nil
	})
	c.kafka = newUnit(kindKafka, c.report, func(ctx context.Context, n int) (process, error) {
		dir := filepath.Join(c.dir, "kafka")
		if err := keepLog(filepath.Join(dir, "kafka.log"), n); err != nil {
			return nil, err
		}
		b, err := kafka.Start(ctx, dir)
		if err != nil {
			return nil, err
		}
		if c.brokers == nil {
			c.brokers = b.Brokers()
		}
		return b, nil
	})
	c.keep(ctx, c.clickhouse)
	c.keep(ctx, c.kafka)
	for _, u := range []*unit{c.kafka, c.clickhouse} {
		if u.running() == nil {
			return fmt.Errorf("starting %s: %w", u.name, context.Cause(ctx))
		}
	}
	if err := kafkalog.CreateTopic(ctx, c.brokers, topic, partitions); err != nil {
		return err
	}
	// The embedded ClickHouse aborts when somebody connects to a database that is
	// missing and hangs up over its answer, as whoever watches the progress would.
	if err := migrations.Up(ctx, c.dsn); err != nil {
		return err
	}
	return segmentsio.CreateTopic(ctx, c.brokers, segmentsio.Topic(topic), partitions)
}

// kept is the embedded ClickHouse with the product's own keeper: the library
// aborts now and then when a client dies before it was answered, and may then
// stay and refuse every query.
type kept struct {
	*clickhouse.Server
	end    func()
	killed chan struct{}
}

// Kill ends the server, and its keeper before.
func (k *kept) Kill() {
	k.end()
	k.Server.Kill()
	close(k.killed)
}

// Exited is closed by Kill alone: to all else the keeper sees.
func (k *kept) Exited() <-chan struct{} { return k.killed }

// keepLog moves the log of the process before away from the new one's.
func keepLog(path string, n int) error {
	err := os.Rename(path, fmt.Sprintf("%s.%d", path, n-1))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (c *cluster) startNode(ctx context.Context, i int) error {
	addr, admin, err := twoAddresses()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("node%d", i)
	u := newUnit(name, c.report, func(_ context.Context, n int) (process, error) {
		return c.run(fmt.Sprintf("%s-%d", name, n), skews[i], "serve", "--brokers", c.brokers[0], "--topic", topic, "--site", site, "--http", addr, "--admin-http", admin)
	})
	c.nodes, c.urls, c.admins = append(c.nodes, u), append(c.urls, "http://"+addr), append(c.admins, "http://"+admin)
	c.keep(ctx, u)
	return nil
}

// twoAddresses are free ones of this machine.
func twoAddresses() (one, other string, err error) {
	for _, addr := range []*string{&one, &other} {
		port, err := child.FreePort()
		if err != nil {
			return "", "", err
		}
		*addr = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return one, other, nil
}

// run starts the binary on a machine with a clock that is ahead, with its words in
// a log of its own.
func (c *cluster) run(name string, ahead time.Duration, args ...string) (process, error) {
	cmd := exec.Command(c.binary, args...)
	cmd.Env = append(append(os.Environ(), secrets...), "MICROSEG_TEST_CLOCK_AHEAD="+ahead.String())
	return child.Start(cmd, filepath.Join(c.dir, name+".log"))
}

func (c *cluster) keep(ctx context.Context, u *unit) {
	c.keepers.Add(1)
	go func() { defer c.keepers.Done(); u.keep(ctx) }()
}

// units are those of a fault's name.
func (c *cluster) unit(name string, node int) *unit {
	switch name {
	case kindKafka:
		return c.kafka
	case kindClickHouse:
		return c.clickhouse
	case kindNode:
		return c.nodes[node]
	default:
		return c.pipeline
	}
}

// drainTimeout is how long the job may take to record what it has decided.
const drainTimeout = time.Minute

// stopPipeline ends the job in order: everything that it decided is recorded.
func (c *cluster) stopPipeline() error {
	return c.pipeline.stop(func(p process) error { return p.(*child.Process).Stop(drainTimeout) })
}

// close kills everything and waits.
func (c *cluster) close() {
	c.cancel()
	c.keepers.Wait()
}
