package redis

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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

func set(t *testing.T, name, value string) { t.Setenv(clients.Redis.Variable(name), value) }

func ping(t *testing.T, addr string, timeout time.Duration) error {
	t.Helper()
	c := New(&redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: timeout, DialerRetries: 1}, "microseg")
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
		{"ACL", "SETUSER", "gone", "off", ">sesame", "~*", "+@all"},
		{"ACL", "SETUSER", "default", "off"},
	} {
		if err := admin.Do(t.Context(), c...).Err(); err != nil {
			t.Fatal(c, err)
		}
	}
	host, _, _ := strings.Cut(s.Addr(), ":")
	addr := host + ":" + strconv.Itoa(port)
	other, err := certs.New(t.TempDir(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "elsewhere.example")
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"CA_FILE": p.Cert, "USER": "shop", "PASSWORD": "sesame", "TLS": "", "SERVER_NAME": ""}
	for name, door := range map[string]struct {
		addr string
		env  map[string]string
		want string // empty: it opens
	}{
		"the password":             {addr, nil, ""},
		"a wrong password":         {addr, map[string]string{"PASSWORD": "wrong-secret"}, `lets the user "shop" not in: the user or the password is another there`},
		"no such user":             {addr, map[string]string{"USER": "nobody"}, `lets the user "nobody" not in`},
		"a user who is off":        {addr, map[string]string{"USER": "gone"}, `or the user is off`},
		"no password there":        {addr, map[string]string{"USER": ""}, "has no password for its default user"},
		"no login":                 {addr, map[string]string{"USER": "", "PASSWORD": ""}, "asks for a login; set MICROSEG_REDIS_USER"},
		"another authority":        {addr, map[string]string{"CA_FILE": other.Cert}, "name its CA in MICROSEG_REDIS_CA_FILE"},
		"another name":             {addr, map[string]string{"SERVER_NAME": "elsewhere.example"}, "state it in MICROSEG_REDIS_SERVER_NAME"},
		"TLS to the plain port":    {s.Addr(), nil, "TLS"},
		"plain to the port of TLS": {addr, map[string]string{"CA_FILE": ""}, "MICROSEG_REDIS_TLS=true"},
		"no such file":             {addr, map[string]string{"CA_FILE": filepath.Join(dir, "none.pem")}, "MICROSEG_REDIS_CA_FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, env := range []map[string]string{good, door.env} {
				for k, v := range env {
					set(t, k, v)
				}
			}
			patience := time.Minute
			if door.addr == s.Addr() { // which waits for the end of what it takes for a command
				patience = 3 * time.Second
			}
			err := ping(t, door.addr, patience)
			if door.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var refused *clients.RefusedError
			if err == nil || !strings.Contains(err.Error(), door.want) || strings.Contains(err.Error(), "wrong-secret") || !errors.As(err, &refused) && name != "no such file" {
				t.Errorf("%v; want a refusal with %q", err, door.want)
			}
		})
	}
}

// TestEachRightOfRedisIsNeeded: a user with the rights of the list can do all that a writer does,
// and one who lacks any of them is told which, without the id of a visitor.
func TestEachRightOfRedisIsNeeded(t *testing.T) {
	s, err := server.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	admin := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer admin.Close()
	all := Rights("shop")
	for i := -1; i < len(all); i++ {
		rights, without := slices.Clone(all), ""
		if i >= 0 {
			rights, without = slices.Delete(rights, i, i+1), all[i]
		}
		user := "u" + strconv.Itoa(i+1)
		setUser := []any{"ACL", "SETUSER", user, "on", ">sesame"}
		for _, r := range rights {
			setUser = append(setUser, r)
		}
		if err := admin.Do(t.Context(), setUser...).Err(); err != nil {
			t.Fatal(err)
		}
		set(t, "USER", user)
		set(t, "PASSWORD", "sesame")
		err := work(t, s.Addr())
		if without == "" {
			if err != nil {
				t.Errorf("with all rights: %v", err)
			}
			continue
		}
		var refused *clients.RefusedError
		if !errors.As(err, &refused) || !clients.Stays(err) || !strings.Contains(err.Error(), without) || !strings.Contains(err.Error(), `the user "`+user+`"`) || strings.Contains(err.Error(), "visitor") {
			t.Errorf("without %s: %v", without, err)
		}
		t.Logf("without %s: %v", without, err)
	}
	if log, err := admin.Do(t.Context(), "ACL", "LOG").Slice(); err != nil || len(log) == 0 {
		t.Errorf("the log of refusals: %v, %v", log, err)
	} else if text := fmt.Sprint(log); strings.Contains(text, "setinfo") || strings.Contains(text, "maint") {
		t.Errorf("something was asked for that nobody needs: %s", text)
	}
}

// work is what a writer does: it loads its script, which reads, writes and deletes.
func work(t *testing.T, addr string) error {
	t.Helper()
	c := New(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1}, "shop")
	defer c.Close()
	script := redis.NewScript("redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], 1) return redis.call('DEL', KEYS[1])")
	if err := script.Load(t.Context(), c).Err(); err != nil {
		return err
	}
	_, err := c.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		return script.EvalSha(t.Context(), p, []string{"shop:d:visitor"}).Err()
	})
	return err
}
