// Package stack runs what a shop on one machine needs beside the job: the embedded log and
// ClickHouse, in a folder that nobody else uses meanwhile, with a guard of its disk.
package stack

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

// Stack is the embedded log and the embedded (or given) ClickHouse.
type Stack struct {
	Log        *kafkalog.Log // nil with NoLog
	ClickHouse *clickhouse.Server
	Space      *diskspace.Watch // of their folders

	kept func() // ends keeping ClickHouse up
	dir  string
	// unlock gives the folder free for others; it is the last thing to do.
	unlock func()
}

// Options say where a stack lives.
type Options struct {
	Dir        string
	Ports      Ports
	Clean      bool      // forget the log's data of earlier runs
	SyncWrites bool      // the log syncs every write to disk
	MinFree    int       // bytes of the disk that log and ClickHouse leave alone
	NoLog      bool      // the log is somebody's own: none is started
	DSN        string    // of a ClickHouse of somebody's own: none is started
	Messages   io.Writer // is told how long it took
}

// Start starts both in o.Dir; where another process uses it the error is a *BusyError.
func Start(ctx context.Context, o Options) (*Stack, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the data folder: %w", err)
	}
	s := &Stack{dir: dir}
	if s.unlock, err = Lock(dir); err != nil {
		return nil, err
	}
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, o Options) (err error) {
	if err := o.Ports.check(); err != nil {
		return err
	}
	folder := filepath.Join(s.dir, "log")
	if o.Clean {
		if err := os.RemoveAll(folder); err != nil {
			return fmt.Errorf("clearing the embedded log: %w", err)
		}
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	t, watched := time.Now(), []string{folder}
	if !o.NoLog {
		ownLogin(clients.Kafka, "log")
		if s.Log, err = kafkalog.Start(kafkalog.Options{Dir: folder, Port: o.Ports.Kafka, SyncWrites: o.SyncWrites, MinFree: uint64(o.MinFree)}); err != nil {
			return fmt.Errorf("starting the embedded log: %w", err)
		}
	}
	ch := clickhouse.Options{Dir: filepath.Join(s.dir, "clickhouse"), DSN: o.DSN, TCPPort: o.Ports.ClickHouse, HTTPPort: o.Ports.ClickHouseHTTP, KeepFree: 2 * uint64(o.MinFree)}
	if s.ClickHouse, err = clickhouse.Start(ctx, ch); err != nil {
		return fmt.Errorf("starting ClickHouse: %w", err)
	}
	if s.ClickHouse.Embedded() {
		ownLogin(clients.ClickHouse, "ClickHouse")
		watched = append(watched, ch.Dir)
	}
	if s.ClickHouse.Exposed != "" {
		slog.Warn("the embedded ClickHouse is not confined", "why", s.ClickHouse.Exposed)
	}
	s.kept = s.ClickHouse.Keep(func(err error) { slog.Error("ClickHouse is started again", "why", err) })
	if s.Space, err = diskspace.Start(uint64(o.MinFree), room, watched...); err != nil {
		return err
	}
	if err := s.Space.Err(); err != nil {
		return err
	}
	fmt.Fprintf(o.Messages, "log and ClickHouse are up (%.1f s)\n", time.Since(t).Seconds())
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

// Close ends what has been started; it may be called on half a stack.
func (s *Stack) Close() error {
	defer s.unlock()
	if s.Space != nil {
		s.Space.Close()
	}
	if s.kept != nil {
		s.kept()
	}
	if s.Log != nil {
		s.Log.Close()
	}
	var err error
	if s.ClickHouse != nil {
		err = s.ClickHouse.Stop()
	}
	if rerr := os.Remove(filepath.Join(s.dir, addressesFile)); rerr != nil && !errors.Is(rerr, os.ErrNotExist) && err == nil {
		err = rerr
	}
	return err
}

// Addresses are those of a stack on which the job of a site reads a topic.
func (s *Stack) Addresses(site, topic string) Addresses {
	return Addresses{PID: os.Getpid(), Kafka: s.Log.Brokers()[0], ClickHouseNative: s.ClickHouse.Addr(), ClickHouseHTTP: s.ClickHouse.HTTPAddr(), Site: site, Topic: topic, DSN: s.ClickHouse.DSN(), AnalystDSN: s.ClickHouse.AnalystDSN()}
}

// WriteAddresses leaves them in the folder for commands that look for a stack, until Close.
func (s *Stack) WriteAddresses(a Addresses) error {
	b, err := json.MarshalIndent(a, "", "  ")
	path := filepath.Join(s.dir, addressesFile)
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
