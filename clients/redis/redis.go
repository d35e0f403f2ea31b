// Package redis makes the clients of Redis.
package redis

import (
	"cmp"
	"context"
	"net"
	"time"

	"github.com/microseg/microseg/clients"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// The library writes a line of its own for each attempt to connect, also for those that a
// command's error tells of.
func init() { logging.Disable() }

const dialTimeout = 5 * time.Second // as the library has it

// New is redis.NewClient with the TLS and the login of this process, read at
// each connection, for keys of a prefix. What is wrong with them is the error of a
// command, a *clients.RefusedError. It asks for nothing that Rights does not have: no
// names of clients, no notices of maintenance.
func New(opts *redis.Options, prefix string) *redis.Client {
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opts.CredentialsProviderContext = func(context.Context) (user, password string, err error) {
		if user, err = clients.Redis.Value("USER"); err != nil {
			return "", "", err
		}
		password, err = clients.Redis.Value("PASSWORD")
		return user, password, err
	}
	plain := &net.Dialer{Timeout: cmp.Or(opts.DialTimeout, dialTimeout)}
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return clients.Redis.Dial(ctx, plain, network, addr)
	}
	c := redis.NewClient(opts)
	c.AddHook(explained{opts.Addr, prefix})
	return c
}
