// Package clickhouse makes the clients of ClickHouse.
package clickhouse

import (
	"cmp"
	"context"
	"net"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/clients"
)

const dialTimeout = 30 * time.Second // as the library has it

// Open is clickhouse.Open with the TLS and the login of this process over what
// the DSN says.
func Open(opts *clickhouse.Options) (driver.Conn, error) {
	conf, err := clients.ClickHouse.TLS()
	if err != nil {
		return nil, err
	}
	if conf != nil {
		opts.TLS = conf // says that the connection is secret
	}
	if opts.TLS == nil || conf != nil { // TLS of the DSN's own is the library's
		plain := &net.Dialer{Timeout: cmp.Or(opts.DialTimeout, dialTimeout)}
		opts.DialContext = func(ctx context.Context, addr string) (net.Conn, error) {
			return clients.ClickHouse.Dial(ctx, plain, "tcp", addr)
		}
	}
	for name, to := range map[string]*string{"USER": &opts.Auth.Username, "PASSWORD": &opts.Auth.Password} {
		v, err := clients.ClickHouse.Value(name)
		if err != nil {
			return nil, err
		}
		if v != "" {
			*to = v
		}
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, err
	}
	return explained{conn, cmp.Or(opts.Auth.Username, "default"), strings.Join(opts.Addr, ",")}, nil
}
