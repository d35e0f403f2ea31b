// Command make made the fixture of testing/upgrade: it runs the older program,
// built from the commit that fixture/README.md names, on an embedded log and
// ClickHouse, ends it in two ways, and notes what it makes of both.
//
//	go run ./testing/upgrade/make --old /path/to/older/microseg --out testing/upgrade/fixture/semantics2
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/testing/upgrade"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 4

func main() {
	clickhouse.HandleChild()
	old := flag.String("old", "", "the older program")
	out := flag.String("out", "testing/upgrade/fixture/semantics2", "folder of the fixture; microseg.yaml is there")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := run(ctx, *old, *out); err != nil {
		log.Fatal(err)
	}
}

// site is one log with a ClickHouse beside it, and the older program on them.
type site struct {
	old, config, dir string
	log              *kafkalog.Log
	server           *clickhouse.Server
	program          *exec.Cmd
}

func run(ctx context.Context, old, out string) error {
	tmp, err := os.MkdirTemp("", "microseg-fixture-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	first, second, third := story()
	s := &site{old: old, config: filepath.Join(out, "microseg.yaml"), dir: filepath.Join(tmp, "first")}
	if err := s.up(ctx); err != nil {
		return err
	}
	steps := []func() error{
		func() error { return createTopic(ctx, s.log.Brokers()) },
		func() error { return s.start(ctx) },
		func() error { return s.take(ctx, first) },
		func() error { return s.end(syscall.SIGINT) },
		func() error { return s.pack(filepath.Join(out, "stopped.tar.gz")) },
		func() error { return s.start(ctx) },
		func() error { return s.take(ctx, second) },
		func() error { return s.end(syscall.SIGKILL) },
		func() error { return s.pack(filepath.Join(out, "killed.tar.gz")) },
		func() error { return upgrade.WriteJSON(filepath.Join(out, "continuation.json.gz"), third) },
	}
	for _, f := range steps {
		if err := f(); err != nil {
			return err
		}
	}
	s.down()
	for _, name := range []string{"stopped", "killed"} {
		if err := goOn(ctx, old, out, tmp, name, third); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// goOn notes what the older program makes of its changelog.
func goOn(ctx context.Context, old, out, tmp, name string, more []upgrade.Record) error {
	s := &site{old: old, config: filepath.Join(out, "microseg.yaml"), dir: filepath.Join(tmp, name)}
	if err := upgrade.Unpack(filepath.Join(out, name+".tar.gz"), filepath.Join(s.dir, "log")); err != nil {
		return err
	}
	if err := s.up(ctx); err != nil {
		return err
	}
	defer s.down()
	var made upgrade.Made
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.drained(ctx); err != nil {
		return err
	}
	var err error
	if made.Again, err = upgrade.Ask(ctx, s.server.DSN(), upgrade.Topic); err != nil {
		return err
	}
	if err := s.take(ctx, more); err != nil {
		return err
	}
	if err := s.end(syscall.SIGINT); err != nil {
		return err
	}
	if made.Continued, err = upgrade.Ask(ctx, s.server.DSN(), upgrade.Topic); err != nil {
		return err
	}
	for q, rows := range made.Continued {
		log.Printf("%s: %d and %d rows of %s", name, len(made.Again[q]), len(rows), q)
	}
	return upgrade.WriteJSON(filepath.Join(out, name+"-made.json.gz"), made)
}

func (s *site) up(ctx context.Context) (err error) {
	if s.log, err = kafkalog.Start(kafkalog.Options{Dir: filepath.Join(s.dir, "log")}); err != nil {
		return err
	}
	s.server, err = clickhouse.Start(ctx, clickhouse.Options{Dir: filepath.Join(s.dir, "clickhouse")})
	return err
}

func (s *site) down() {
	if s.program != nil && s.program.ProcessState == nil {
		s.program.Process.Kill()
		s.program.Wait()
	}
	s.log.Close()
	s.server.Kill()
}

// start starts the older program.
func (s *site) start(ctx context.Context) error {
	s.program = exec.CommandContext(ctx, s.old, "pipeline", "--config", s.config, "--brokers", s.log.Brokers()[0], "--dsn", s.server.DSN(),
		"--topic", upgrade.Topic, "--site", upgrade.Topic)
	s.program.Stdout, s.program.Stderr = os.Stderr, os.Stderr
	if err := s.program.Start(); err != nil {
		return err
	}
	// The embedded ClickHouse does not survive questions about a database that the
	// program has not made yet.
	time.Sleep(8 * time.Second)
	return nil
}

// take sends records, a few hundred at a time, and waits until all is recorded.
func (s *site) take(ctx context.Context, records []upgrade.Record) error {
	for len(records) > 0 {
		n := min(100, len(records))
		if err := upgrade.Send(ctx, s.log.Brokers(), records[:n]); err != nil {
			return err
		}
		records = records[n:]
		time.Sleep(100 * time.Millisecond)
	}
	return s.drained(ctx)
}

func (s *site) drained(ctx context.Context) error {
	_, ends, err := kafkaio.Bounds(ctx, s.log.Brokers(), upgrade.Topic)
	if err != nil {
		return err
	}
	conn, err := clickhouseio.Dial(s.server.DSN())
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		if ok, err := query.Recorded(ctx, conn, upgrade.Topic, ends); ok && err == nil {
			time.Sleep(3 * time.Second) // rows that wait for their second
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// end ends the older program.
func (s *site) end(how syscall.Signal) error {
	if err := s.program.Process.Signal(how); err != nil {
		return err
	}
	if err := s.program.Wait(); err != nil && how == syscall.SIGINT {
		return fmt.Errorf("the older program did not stop in order: %w", err)
	}
	return nil
}

// pack keeps the log as it is on the disk, and goes on.
func (s *site) pack(path string) error {
	s.log.Close()
	if err := upgrade.Pack(filepath.Join(s.dir, "log"), path); err != nil {
		return err
	}
	var err error
	s.log, err = kafkalog.Start(kafkalog.Options{Dir: filepath.Join(s.dir, "log")})
	return err
}

// createTopic makes a topic that keeps its records for good: the fixture's are
// from a day that is long ago.
func createTopic(ctx context.Context, brokers []string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	keep := "-1"
	_, err = kadm.NewClient(cl).CreateTopic(ctx, partitions, -1, map[string]*string{"retention.ms": &keep}, upgrade.Topic)
	return err
}
