package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/clients"
)

// errDSN names no part of the text: any of it may be of the password.
var errDSN = fmt.Errorf("the DSN cannot be read; it is clickhouse://user:password@host:9000/database, with characters such as / : @ # ? %% of the password "+
	"as %%2F and so on, or without the password, which %s or a file named in %s_FILE may hold", clients.ClickHouse.Variable("PASSWORD"), clients.ClickHouse.Variable("PASSWORD"))

// ParseDSN is clickhouse.ParseDSN with errors that show no password.
func ParseDSN(dsn string) (*clickhouse.Options, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, errDSN
	}
	opts, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		secrets := []string{u.Query().Get("password"), u.Query().Get("http_proxy")}
		if u.User != nil {
			password, _ := u.User.Password()
			secrets = append(secrets, password, u.User.String())
		}
		for _, s := range secrets {
			if s != "" && strings.Contains(err.Error(), s) {
				return nil, errDSN
			}
		}
		return nil, fmt.Errorf("parsing ClickHouse's DSN: %w", err)
	}
	return opts, nil
}

// Codes of ClickHouse's that say who may not do what.
const (
	unknownUser = 192
	noPassword  = 194
	noAddress   = 195
	denied      = 497
	wrongLogin  = 516
)

// explained is a connection whose errors say what to do about a login.
type explained struct {
	driver.Conn
	user, addr string
}

func (c explained) explain(err error) error {
	var ex *clickhouse.Exception
	if !errors.As(err, &ex) {
		return err
	}
	s := clients.ClickHouse
	switch ex.Code {
	case wrongLogin, unknownUser, noPassword, noAddress:
		return fmt.Errorf("ClickHouse at %s lets the user %q not in: the user or the password is another there; look at %s and %s (or its _FILE), else at the DSN: %w",
			c.addr, c.user, s.Variable("USER"), s.Variable("PASSWORD"), err)
	case denied:
		return fmt.Errorf("ClickHouse at %s refuses the user %q something that it needs; sinks/clickhouseio/grants.sql has all grants: %w", c.addr, c.user, err)
	}
	return err
}

func (c explained) Ping(ctx context.Context) error { return c.explain(c.Conn.Ping(ctx)) }

func (c explained) Exec(ctx context.Context, q string, args ...any) error {
	return c.explain(c.Conn.Exec(ctx, q, args...))
}

func (c explained) Select(ctx context.Context, dest any, q string, args ...any) error {
	return c.explain(c.Conn.Select(ctx, dest, q, args...))
}

func (c explained) Query(ctx context.Context, q string, args ...any) (driver.Rows, error) {
	rows, err := c.Conn.Query(ctx, q, args...)
	return rows, c.explain(err)
}

func (c explained) QueryRow(ctx context.Context, q string, args ...any) driver.Row {
	return row{c.Conn.QueryRow(ctx, q, args...), c}
}

func (c explained) PrepareBatch(ctx context.Context, q string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	b, err := c.Conn.PrepareBatch(ctx, q, opts...)
	return b, c.explain(err)
}

type row struct {
	driver.Row
	of explained
}

func (r row) Err() error                { return r.of.explain(r.Row.Err()) }
func (r row) Scan(dest ...any) error    { return r.of.explain(r.Row.Scan(dest...)) }
func (r row) ScanStruct(dest any) error { return r.of.explain(r.Row.ScanStruct(dest)) }
