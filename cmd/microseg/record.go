package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/stack"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/spf13/cobra"
)

// lastDemo is the file in a demo's folder that names its site.
const lastDemo = "last-demo"

// record finds the ClickHouse to ask: that of the running stack or, when none
// runs, one that is started on the last demo's data until stop.
func (o *folder) record(ctx context.Context) (a stack.Addresses, stop func(), err error) {
	a, err = o.running()
	if err == nil || !errors.Is(err, errNotRunning) {
		return a, func() {}, err
	}
	dir := stack.Home
	if o.dir != "" {
		dir = o.dir
	}
	data := filepath.Join(dir, "clickhouse")
	if _, serr := os.Stat(data); serr != nil {
		return a, nil, err
	}
	unlock, err := stack.Lock(dir)
	if err != nil {
		return a, nil, err
	}
	ch, err := clickhouse.Start(ctx, clickhouse.Options{Dir: data})
	if err != nil {
		unlock()
		return a, nil, fmt.Errorf("starting ClickHouse: %w", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, lastDemo)); err == nil {
		a.Site = strings.TrimSpace(string(b))
	}
	a.ClickHouseHTTP, a.DSN, a.AnalystDSN = ch.HTTPAddr(), ch.DSN(), ch.AnalystDSN()
	return a, func() { ch.Stop(); unlock() }, nil
}

// place says which site of which ClickHouse to read.
type place struct {
	folder
	dsn, site string
}

func (p *place) flags(c *cobra.Command) {
	// The variable's value is no default of the flag: --help prints those.
	c.Flags().StringVar(&p.dsn, "dsn", "", "ClickHouse (default: that of $"+clickhouse.DSNEnv+", else the running stack's, else the last demo's)")
	c.Flags().StringVar(&p.site, "site", "", "site id (default: the running stack's, else the last demo's)")
	p.folder.flag(c)
}

// stopping is a connection to a ClickHouse that may run for it alone.
type stopping struct {
	driver.Conn
	stop func()
}

func (c stopping) Close() error {
	err := c.Conn.Close()
	c.stop()
	return err
}

// open connects; without a DSN it finds the stack that runs here, or the data
// of the last demo.
func (p *place) open(ctx context.Context) (driver.Conn, error) {
	stop := func() {}
	p.dsn = cmp.Or(p.dsn, os.Getenv(clickhouse.DSNEnv))
	found := p.dsn == ""
	switch {
	case found:
		a, end, err := p.record(ctx)
		if err != nil {
			return nil, err
		}
		stop, p.dsn = end, a.DSN
		if a.ClickHouseHTTP != "" {
			clients.ClickHouse.Ours()
		}
		if p.site == "" {
			p.site = a.Site
		}
	case p.site == "":
		a, _ := p.running() // its site is a guess that --site corrects
		p.site = a.Site
	}
	if p.site == "" {
		stop()
		return nil, errors.New("which site? give --site")
	}
	conn, err := clickhouseio.Dial(p.dsn)
	if err != nil {
		stop()
		return nil, err
	}
	if err := conn.Ping(ctx); found && err != nil {
		conn.Close()
		stop()
		return nil, fmt.Errorf("the ClickHouse of the stack does not answer; if it was killed, start it again with `./run.sh up`: %w", err)
	}
	return stopping{conn, stop}, nil
}
