package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/microseg/microseg/testing/harness/clickhouse"
	"github.com/microseg/microseg/testing/harness/kafkalog"
	"github.com/microseg/microseg/testing/harness/space"
)

// stack is the embedded log and the embedded (or given) ClickHouse.
type stack struct {
	log   *kafkalog.Log
	ch    *clickhouse.Server
	kept  func()       // ends keeping ClickHouse up
	space *space.Watch // of both folders
	dir   string
}

// addresses is what .microseg/addresses.json holds while a stack runs.
type addresses struct {
	Kafka            string `json:"kafka"`
	ClickHouseNative string `json:"clickhouse_native"`
	ClickHouseHTTP   string `json:"clickhouse_http"`
	HTTP             string `json:"http"`
	Site             string `json:"site"`
	Topic            string `json:"topic"`
	DSN              string `json:"clickhouse_dsn"`
	AdminKey         string `json:"admin_key_file,omitempty"`
}

// stackOptions say where a stack lives.
type stackOptions struct {
	dir        string
	kafkaPort  int  // 0: a free one
	clean      bool // forget the log's data of earlier runs
	syncWrites bool // the log syncs every write to disk
	minFree    int  // bytes of the disk that log and ClickHouse leave alone
	messages   io.Writer
}

// startStack starts both in o.dir.
func startStack(ctx context.Context, o stackOptions) (*stack, error) {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, fmt.Errorf("finding the data folder: %w", err)
	}
	if o.clean {
		if err := os.RemoveAll(filepath.Join(dir, "log")); err != nil {
			return nil, fmt.Errorf("clearing the embedded log: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	s := &stack{dir: dir}
	t := time.Now()
	if s.log, err = kafkalog.Start(kafkalog.Options{Dir: filepath.Join(dir, "log"), Port: o.kafkaPort, SyncWrites: o.syncWrites, MinFree: uint64(o.minFree)}); err != nil {
		return nil, fmt.Errorf("starting the embedded log: %w", err)
	}
	if s.ch, err = clickhouse.Start(ctx, clickhouse.Options{Dir: filepath.Join(dir, "clickhouse"), KeepFree: 2 * uint64(o.minFree)}); err != nil {
		s.log.Close()
		return nil, fmt.Errorf("starting ClickHouse: %w", err)
	}
	s.kept = s.ch.Keep(func(err error) { slog.Error("ClickHouse is started again", "why", err) })
	if s.space, err = space.Start(uint64(o.minFree), room, filepath.Join(dir, "log"), filepath.Join(dir, "clickhouse")); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.space.Err(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	fmt.Fprintf(o.messages, "log and ClickHouse are up (%.1f s)\n", time.Since(t).Seconds())
	return s, nil
}

// room tells that a disk is nearly full, or not any more.
func room(err error) {
	if err != nil {
		slog.Error("storage", "err", err)
	} else {
		slog.Warn("storage: there is room again")
	}
}

func (s *stack) close() error {
	if s.space != nil {
		s.space.Close()
	}
	s.kept()
	s.log.Close()
	err := s.ch.Stop()
	if rerr := os.Remove(filepath.Join(s.dir, "addresses.json")); rerr != nil && !errors.Is(rerr, os.ErrNotExist) && err == nil {
		err = rerr
	}
	return err
}

func (s *stack) addresses(site, topic string) addresses {
	return addresses{Kafka: s.log.Brokers()[0], ClickHouseNative: s.ch.Addr(), ClickHouseHTTP: s.ch.HTTPAddr(), Site: site, Topic: topic, DSN: s.ch.DSN()}
}

func (s *stack) writeAddresses(a addresses) error {
	b, err := json.MarshalIndent(a, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "addresses.json"), append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the addresses: %w", err)
	}
	return nil
}

// runningStack reads the addresses of a stack that another process keeps up.
func runningStack(dir string) (addresses, error) {
	var a addresses
	b, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		return a, fmt.Errorf("finding a running stack in %s (start one with `./run.sh up`, or give --brokers and --dsn): %w", dir, err)
	}
	return a, nil
}
