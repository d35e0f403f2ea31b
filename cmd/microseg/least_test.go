package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microseg/microseg/clients"
	rights "github.com/microseg/microseg/clients/redis"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/testing/harness/certs"
	"github.com/microseg/microseg/testing/harness/child"
	broker "github.com/microseg/microseg/testing/harness/kafka"
	"github.com/microseg/microseg/testing/harness/redis"
	client "github.com/redis/go-redis/v9"
)

// leastConfig copies by device, so that there is a copier, and snapshots often, since a deletion waits for one.
const leastConfig = `
site: shop
identity: {verification: "off"}
source: {rekey: "on", shards: 1, snapshot_interval: 1s, state_interval: 200ms}
`

// least is a whole stack on servers that let each process do what docs list for it, and nothing more.
type least struct {
	t      *testing.T
	log    *lockedLog
	ch     *clickhouse.Server
	redis  string         // its port with TLS
	reader *client.Client // of the same Redis, for the test
	env    []string       // beside the log's login
	dir    string
	out    map[string]*output
	pids   map[string]int
}

func startLeast(t *testing.T) *least {
	l := &least{t: t, log: startLocked(t, "job", "copier", "node", "redis", "replay"), dir: t.TempDir(), out: map[string]*output{}, pids: map[string]int{}}
	at := topicsOfJob{"events", "events"}
	l.log.topic(at.events)
	at.source = at.keyed()
	for _, r := range roles {
		if r.name == "replay" || r.name == "job" || r.name == "copier" || r.name == "node" || r.name == "redis" {
			l.log.allow(r.name, r.rights(at))
		}
	}
	if err := os.WriteFile(filepath.Join(l.dir, "microseg.yaml"), []byte(leastConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	l.startClickHouse()
	l.startRedis()
	l.env = append(l.env, node.EnvTokenKeys+"=k1:"+leastToken, node.EnvAdminKey+"="+leastAdmin)
	return l
}

var leastAdmin, leastToken = strings.Repeat("a", 40), strings.Repeat("7e", 32)

// startClickHouse starts one with the job's user of grants.sql, and the database that an admin has made.
func (l *least) startClickHouse() {
	l.t.Helper()
	sql, err := os.ReadFile("../../sinks/clickhouseio/grants.sql")
	if err != nil {
		l.t.Fatal(err)
	}
	job := clickhouse.Account{Name: "microseg_job", Password: "password-of-the-job"}
	for _, m := range regexp.MustCompile(`(?m)^(GRANT .*) TO microseg_job;$`).FindAllStringSubmatch(string(sql), -1) {
		job.Grants = append(job.Grants, m[1])
	}
	l.ch, err = clickhouse.Start(l.t.Context(), clickhouse.Options{Dir: filepath.Join(l.dir, "ch"), Accounts: []clickhouse.Account{job}, StartTimeout: 2 * time.Minute})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(l.ch.Kill)
	if err := l.sql(strings.TrimSuffix(l.ch.DSN(), "/microseg")+"/default", "CREATE DATABASE microseg"); err != nil {
		l.t.Fatal(err)
	}
	l.env = append(l.env, clients.ClickHouse.Variable("USER")+"="+job.Name, clients.ClickHouse.Variable("PASSWORD")+"="+job.Password)
}

func (l *least) sql(dsn, query string) error {
	conn, err := clickhouseio.Dial(dsn)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Exec(l.t.Context(), query)
}

// rows are how many a table has of the device.
func (l *least) rows(table string) (n uint64) {
	l.t.Helper()
	conn, err := clickhouseio.Dial(l.ch.AnalystDSN())
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.QueryRow(l.t.Context(), "SELECT count() FROM "+table+" FINAL WHERE toString(tuple(*)) LIKE '%least-visitor%'").Scan(&n); err != nil {
		l.t.Log(table, err) // it may not be there yet
	}
	return n
}

// startRedis starts one with TLS, a user with the rights of the list, and nobody else.
func (l *least) startRedis() {
	l.t.Helper()
	pair, err := certs.New(l.t.TempDir(), time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour), "localhost")
	if err != nil {
		l.t.Fatal(err)
	}
	s, err := redis.Start(l.t.Context(), l.t.TempDir())
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(s.Kill)
	port, err := child.FreePort()
	if err != nil {
		l.t.Fatal(err)
	}
	l.redis = "127.0.0.1:" + strconv.Itoa(port)
	l.reader = client.NewClient(&client.Options{Addr: s.Addr(), Username: "site", Password: "sesame"})
	admin := client.NewClient(&client.Options{Addr: s.Addr()})
	l.t.Cleanup(func() { admin.Close(); l.reader.Close() })
	user := []any{"ACL", "SETUSER", "shop", "on", ">password-of-redis"}
	for _, r := range rights.Rights("microseg") {
		user = append(user, r)
	}
	for _, c := range [][]any{
		{"CONFIG", "SET", "tls-cert-file", pair.Cert, "tls-key-file", pair.Key, "tls-ca-cert-file", pair.Cert, "tls-auth-clients", "no", "tls-port", port},
		user, {"ACL", "SETUSER", "site", "on", ">sesame", "~microseg:*", "+get"}, {"ACL", "SETUSER", "default", "off"},
	} {
		if err := admin.Do(l.t.Context(), c...).Err(); err != nil {
			l.t.Fatal(c, err)
		}
	}
	v := clients.Redis.Variable
	l.env = append(l.env, v("CA_FILE")+"="+pair.Cert, v("USER")+"=shop", v("PASSWORD")+"=password-of-redis")
}

// run starts a command as a user of the log; it runs until the test ends.
func (l *least) run(user string, args ...string) *output {
	l.t.Helper()
	c, out := program(l.t, append(args, "--brokers", l.log.SASL, "--config", filepath.Join(l.dir, "microseg.yaml"))...), &output{}
	for k, v := range l.log.login("SCRAM-SHA-256", user, broker.Password) {
		c.Env = append(c.Env, k+"="+v)
	}
	c.Env = append(c.Env, l.env...)
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	l.t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				l.t.Errorf("%s ended with %v:\n%s", user, err, out)
			}
		case <-time.After(time.Minute):
			_ = c.Process.Kill()
			l.t.Errorf("%s does not end:\n%s", user, out)
		}
	})
	l.out[user], l.pids[user] = out, c.Process.Pid
	return out
}

// says waits until a process has told where it listens.
func (l *least) addr(user, before string) (addr string) {
	l.t.Helper()
	at := regexp.MustCompile(regexp.QuoteMeta(before) + `([0-9.:]+)`)
	l.until(user+" to listen", func() error {
		m := at.FindStringSubmatch(l.out[user].String())
		if m == nil {
			return errors.New("no address yet")
		}
		addr = m[1]
		return nil
	})
	return addr
}

// until waits, and shows what all say where it is in vain.
func (l *least) until(what string, f func() error) {
	l.t.Helper()
	var err error
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end) && !l.over(); time.Sleep(50 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	for user, out := range l.out {
		l.t.Logf("%s says:\n%s", user, out)
	}
	l.t.Fatalf("waited in vain for %s: %v", what, err)
}

// over reports whether a process has ended with an error.
func (l *least) over() bool {
	for _, out := range l.out {
		if strings.Contains(out.String(), "\nmicroseg: ") || strings.HasPrefix(out.String(), "microseg: ") {
			return true
		}
	}
	return false
}

// ask is nil if the answer has a text.
func (l *least) ask(method, url, body, want string) error {
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if method == http.MethodDelete {
		r.Header.Set("Authorization", "Bearer "+leastAdmin)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(b), want) {
		return fmt.Errorf("%s %s: %s %s, %v; want %s", method, url, resp.Status, b, err, want)
	}
	return nil
}

// TestLeastRightsOfAll: with the least rights that docs list for each process, on a Kafka with TLS,
// logins and ACLs, a ClickHouse with grants.sql and a Redis with TLS and ACLs, all of it works: an event
// becomes a segment, content, rows and a record in Redis, and is deleted again. Nothing is degraded.
func TestLeastRightsOfAll(t *testing.T) {
	l := startLeast(t)
	dsn := "clickhouse://" + l.ch.Addr() + "/microseg"
	l.run("copier", "rekey")
	l.run("job", "pipeline", "--dsn", dsn)
	jobAdmin := l.addr("job", "health and metrics: http://")
	l.run("node", "serve", "--dsn", dsn, "--redis", l.redis, "--http", "127.0.0.1:0")
	l.run("redis", "redis", "--redis", l.redis)
	nodeAdmin, site, redisAdmin := l.addr("node", "admin, health and metrics on http://"), l.addr("node", "serving on http://"), l.addr("redis", "metrics: http://")

	for _, role := range []string{"job", "copier", "node", "redis", "replay"} {
		c := program(t, "check", filepath.Join(l.dir, "microseg.yaml"), "--brokers", l.log.SASL, "--as", role)
		for k, v := range l.log.login("SCRAM-SHA-256", role, broker.Password) {
			c.Env = append(c.Env, k+"="+v)
		}
		if said, err := c.CombinedOutput(); err != nil || !strings.Contains(string(said), role+": has all its rights") {
			t.Errorf("check --as %s: %v\n%s", role, err, said)
		}
	}
	now := time.Now().UTC().Format(time.RFC3339)
	file := filepath.Join(l.dir, "events.jsonl")
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"type":"page","anonymousId":"least-visitor","messageId":"m1","timestamp":%q,"context":{"page":{"path":"/product/1"}}}`+"\n", now), 0o600); err != nil {
		t.Fatal(err)
	}
	l.run("replay", "replay", file)
	if err := l.ask(http.MethodPost, "http://"+site+"/v1/batch", fmt.Sprintf(`{"writeKey":"demo","batch":[{"type":"track","event":"Product Added","anonymousId":"least-visitor","messageId":"m2","timestamp":%q,`+
		`"properties":{"product_id":"1","price":900,"quantity":1,"category":"electronics"}}]}`, now), "success"); err != nil {
		t.Fatal(err)
	}
	visitor := `{"anonymousId":"least-visitor"}`
	l.until("both events to be in the segment", func() error {
		return errors.Join(l.ask(http.MethodPost, "http://"+site+"/api/segment", visitor, `"known":true`), l.ask(http.MethodPost, "http://"+site+"/api/segment", visitor, `"cart.items":1`))
	})
	l.until("content", func() error {
		return l.ask(http.MethodPost, "http://"+site+"/api/personalize", `{"anonymousId":"least-visitor","event":"/product/1"}`, `"proof":"known"`)
	})
	key := "microseg:d:least-visitor"
	l.until("Redis", func() error { return l.reader.Get(t.Context(), key).Err() })
	l.until("rows", func() error {
		if n := l.rows("segment_state"); n == 0 {
			return errors.New("none")
		}
		return nil
	})
	for name, addr := range map[string]string{"job": jobAdmin, "node": nodeAdmin, "redis": redisAdmin} {
		l.until(name+" to be ready", func() error { return l.ask(http.MethodGet, "http://"+addr+"/readyz", "", "ok") })
		if err := l.ask(http.MethodGet, "http://"+addr+"/readyz", "", "degraded"); err == nil {
			t.Errorf("%s is degraded", name)
		}
	}
	l.tellNothing(jobAdmin, nodeAdmin, redisAdmin, site)
	l.until("the deletion", func() error {
		return l.ask(http.MethodDelete, "http://"+nodeAdmin+"/v1/profiles/d:least-visitor?wait=1", "", `"complete":true`)
	})
	if err := l.ask(http.MethodPost, "http://"+site+"/api/segment", visitor, `"known":false`); err != nil {
		t.Error(err)
	}
	if err := l.reader.Get(t.Context(), key).Err(); !errors.Is(err, client.Nil) {
		t.Errorf("Redis after the deletion: %v", err)
	}
	for _, table := range []string{"segment_state", "sessions", "segment_events"} {
		if n := l.rows(table); n > 0 {
			t.Errorf("%s has %d rows of the visitor", table, n)
		}
	}
}

// tellNothing: of the logins that work here none is shown, either (see TestNoSecretOfAStack).
func (l *least) tellNothing(addrs ...string) {
	l.t.Helper()
	s := &searched{t: l.t, secrets: map[string]string{"the log's password": broker.Password, "ClickHouse's": "password-of-the-job", "Redis'": "password-of-redis", "the admin key": leastAdmin,
		"the key of tokens": leastToken}}
	for user, out := range l.out {
		s.look("what "+user+" has said", out.String())
		if user != "replay" { // it has ended
			s.file("the arguments of "+user, fmt.Sprintf("/proc/%d/cmdline", l.pids[user]))
		}
	}
	for _, addr := range addrs {
		for _, path := range []string{"/health", "/metrics", "/livez", "/readyz", "/nothing"} {
			s.get(http.MethodGet, "http://"+addr+path, "", "")
		}
	}
}
