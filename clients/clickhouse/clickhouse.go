// Package clickhouse makes the clients of ClickHouse.
package clickhouse

import (
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/clients"
)

// Open is clickhouse.Open with the TLS and the login of this process over what
// the DSN says.
func Open(opts *clickhouse.Options) (driver.Conn, error) {
	conf, err := clients.ClickHouse.TLS()
	if err != nil {
		return nil, err
	}
	if conf != nil {
		opts.TLS = conf
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
	return clickhouse.Open(opts)
}
