package redis

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/testing/harness/certs"
	"github.com/microseg/microseg/testing/harness/child"
	server "github.com/microseg/microseg/testing/harness/redis"
	"github.com/redis/go-redis/v9"
)

const wait = 30 * time.Second

func set(t *testing.T, name, value string) { t.Setenv(clients.Redis.Variable(name), value) }

func ping(t *testing.T, addr string, timeout time.Duration) error {
	t.Helper()
	c := New(&redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: timeout, DialerRetries: 1})
	defer c.Close()
	return c.Ping(t.Context()).Err()
}

// TestLogin: a real Redis with TLS and users of its own lets in who has the
// password, and the authority that is trusted.
func TestLogin(t *testing.T) {
	dir := t.TempDir()
	p, err := certs.New(dir, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	admin := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer admin.Close()
	for _, c := range [][]any{
		{"CONFIG", "SET", "tls-cert-file", p.Cert, "tls-key-file", p.Key, "tls-ca-cert-file", p.Cert, "tls-auth-clients", "no", "tls-port", port},
		{"ACL", "SETUSER", "shop", "on", ">sesame", "~*", "+@all"},
		{"ACL", "SETUSER", "default", "off"},
	} {
		if err := admin.Do(t.Context(), c...).Err(); err != nil {
			t.Fatal(c, err)
		}
	}
	host, _, _ := strings.Cut(s.Addr(), ":")
	addr := host + ":" + strconv.Itoa(port)
	set(t, "CA_FILE", p.Cert)
	set(t, "USER", "shop")
	set(t, "PASSWORD", "wrong-secret")
	if err := ping(t, addr, wait); err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("a wrong password: %v", err)
	}
	set(t, "PASSWORD", "sesame")
	if err := ping(t, addr, wait); err != nil {
		t.Errorf("with the password: %v", err)
	}
	if err := ping(t, s.Addr(), time.Second); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("the port without TLS: %v", err)
	}
	set(t, "CA_FILE", filepath.Join(dir, "none.pem"))
	if err := ping(t, addr, wait); err == nil || !strings.Contains(err.Error(), "MICROSEG_REDIS_CA_FILE") {
		t.Errorf("no CA: %v", err)
	}
}
