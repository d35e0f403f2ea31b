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
	"strings"
	"time"

	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/diskspace"
	"github.com/microseg/microseg/embedded/kafkalog"
)

// stack is the embedded log and the embedded (or given) ClickHouse.
type stack struct {
	log   *kafkalog.Log
	ch    *clickhouse.Server
	kept  func()           // ends keeping ClickHouse up
	space *diskspace.Watch // of both folders
	dir   string
	// unlock gives the folder free for others; it is the last thing to do.
	unlock func()
}

// stackOptions say where a stack lives.
type stackOptions struct {
	dir        string
	ports      ports
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
	s := &stack{dir: dir}
	if s.unlock, err = lockFolder(dir); err != nil {
		return nil, err
	}
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stack) start(ctx context.Context, o stackOptions) (err error) {
	if err := o.ports.check(); err != nil {
		return err
	}
	folder := filepath.Join(s.dir, "log")
	if o.clean {
		if err := os.RemoveAll(folder); err != nil {
			return fmt.Errorf("clearing the embedded log: %w", err)
		}
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	ownLogin(clients.Kafka, "log")
	t := time.Now()
	if s.log, err = kafkalog.Start(kafkalog.Options{Dir: folder, Port: o.ports.kafka, SyncWrites: o.syncWrites, MinFree: uint64(o.minFree)}); err != nil {
		return fmt.Errorf("starting the embedded log: %w", err)
	}
	ch := clickhouse.Options{Dir: filepath.Join(s.dir, "clickhouse"), TCPPort: o.ports.clickhouse, HTTPPort: o.ports.clickhouseHTTP, KeepFree: 2 * uint64(o.minFree)}
	if s.ch, err = clickhouse.Start(ctx, ch); err != nil {
		return fmt.Errorf("starting ClickHouse: %w", err)
	}
	if s.ch.Addr() != "" {
		ownLogin(clients.ClickHouse, "ClickHouse")
	}
	if s.ch.Exposed != "" {
		slog.Warn("the embedded ClickHouse is not confined", "why", s.ch.Exposed)
	}
	s.kept = s.ch.Keep(func(err error) { slog.Error("ClickHouse is started again", "why", err) })
	if s.space, err = diskspace.Start(uint64(o.minFree), room, folder, ch.Dir); err != nil {
		return err
	}
	if err := s.space.Err(); err != nil {
		return err
	}
	fmt.Fprintf(o.messages, "log and ClickHouse are up (%.1f s)\n", time.Since(t).Seconds())
	return nil
}

// ownLogin says that what a stack brings knows no TLS and no login but its own: with those of the
// environment, which are about somebody's other servers, it would not let the stack in.
func ownLogin(s clients.Service, name string) {
	if ignored := s.Ours(); len(ignored) > 0 {
		slog.Warn("the stack brings a "+name+" of its own, which listens on this machine alone; what the environment says of another one is not used", "variables", strings.Join(ignored, ", "))
	}
}

// room tells that a disk is nearly full, or not any more.
func room(err error) {
	if err != nil {
		slog.Error("storage", "err", err)
	} else {
		slog.Warn("storage: there is room again")
	}
}

// close ends what has been started; it may be called on half a stack.
func (s *stack) close() error {
	defer s.unlock()
	if s.space != nil {
		s.space.Close()
	}
	if s.kept != nil {
		s.kept()
	}
	if s.log != nil {
		s.log.Close()
	}
	var err error
	if s.ch != nil {
		err = s.ch.Stop()
	}
	if rerr := os.Remove(filepath.Join(s.dir, "addresses.json")); rerr != nil && !errors.Is(rerr, os.ErrNotExist) && err == nil {
		err = rerr
	}
	return err
}

func (s *stack) addresses(site, topic string) addresses {
	return addresses{PID: os.Getpid(), Kafka: s.log.Brokers()[0], ClickHouseNative: s.ch.Addr(), ClickHouseHTTP: s.ch.HTTPAddr(), Site: site, Topic: topic, DSN: s.ch.DSN(), AnalystDSN: s.ch.AnalystDSN()}
}

func (s *stack) writeAddresses(a addresses) error {
	b, err := json.MarshalIndent(a, "", "  ")
	path := filepath.Join(s.dir, "addresses.json")
	if err == nil { // whoever reads it meanwhile finds all of it
		err = os.WriteFile(path+".new", append(b, '\n'), 0o600) // it has ClickHouse's password
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("writing the addresses: %w", err)
	}
	return nil
}
