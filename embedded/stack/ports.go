package stack

import (
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/pflag"
)

// Ports are the fixed ports of a stack; 0 is a free one.
type Ports struct {
	HTTP, Kafka, ClickHouse, ClickHouseHTTP int
	Admin                                   string // host:port; empty: nothing listens there
}

// Flags are those of a command that starts a stack, without Admin.
func (p *Ports) Flags(f *pflag.FlagSet) {
	f.IntVar(&p.Kafka, "kafka-port", 0, "port of the embedded log; 0: a free one")
	f.IntVar(&p.HTTP, "http-port", 0, "port of shop, collector and API; 0: a free one")
	f.IntVar(&p.ClickHouse, "clickhouse-port", 0, "port of the embedded ClickHouse, native protocol; 0: a free one")
	f.IntVar(&p.ClickHouseHTTP, "clickhouse-http-port", 0, "port of the embedded ClickHouse, HTTP; 0: a free one")
}

// check finds ports that cannot be had before anything is started.
func (p *Ports) check() error {
	taken := map[int]string{}
	for _, q := range []struct {
		flag string
		port int
	}{{"--http-port", p.HTTP}, {"--kafka-port", p.Kafka}, {"--clickhouse-port", p.ClickHouse}, {"--clickhouse-http-port", p.ClickHouseHTTP}} {
		switch {
		case q.port == 0:
			continue
		case q.port < 0 || q.port > 65535:
			return fmt.Errorf("%s %d is no port: choose 1 to 65535, or 0 for a free one", q.flag, q.port)
		case taken[q.port] != "":
			return fmt.Errorf("%s and %s are both %d: give each its own, or 0 for a free one", taken[q.port], q.flag, q.port)
		}
		taken[q.port] = q.flag
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(q.port)))
		if err != nil {
			return fmt.Errorf("%s %d cannot be had: choose another, or 0 for a free one: %w", q.flag, q.port, err)
		}
		ln.Close()
	}
	if p.Admin == "" {
		return nil
	}
	ln, err := net.Listen("tcp", p.Admin)
	if err != nil {
		return fmt.Errorf("--admin-http %s cannot be had: choose another address, host:port, with port 0 for a free one: %w", p.Admin, err)
	}
	ln.Close()
	if n := ln.Addr().(*net.TCPAddr).Port; taken[n] != "" {
		return fmt.Errorf("%s and --admin-http are both %d: give each its own, or 0 for a free one", taken[n], n)
	}
	return nil
}
