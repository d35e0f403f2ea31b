package node

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/prometheus/client_golang/prometheus"
)

const testKeys = "test:000102030405060708090a0b0c0d0e0f"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open runs a node of the shipped configuration, with its HTTP server.
func open(t *testing.T, l httpserver.Limits) (n *Node, addr string, brokers []string) {
	t.Helper()
	log, err := kafkalog.Start(kafkalog.Options{Topics: []string{"events"}})
	check(t, err)
	t.Cleanup(log.Close)
	check(t, segmentsio.CreateTopic(t.Context(), log.Brokers(), "segments", 2))
	n, err = Open(t.Context(), config.Demo(), Options{Brokers: log.Brokers(), Events: "events", Segments: "segments", Site: "shop",
		Secrets: Secrets{TokenKeys: testKeys, AdminKey: strings.Repeat("admin", 8)}, Metrics: prometheus.NewRegistry()})
	check(t, err)
	check(t, n.Store.Wait(t.Context()))
	mux := http.NewServeMux()
	n.Register(mux)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- httpserver.Run(ctx, httpserver.New(mux, l), ln, time.Second) }()
	t.Cleanup(func() {
		n.EndStreams()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		check(t, n.Close(context.Background()))
	})
	return n, ln.Addr().String(), log.Brokers()
}

// send writes bytes to the node and reads what comes until it hangs up.
func send(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	check(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(conn, text) // an answer may come before all is sent
	got, err := io.ReadAll(conn)
	if err, ok := err.(net.Error); ok && err.Timeout() {
		t.Errorf("the node holds on to a client that sent %.60q", text)
	}
	return string(got)
}

// TestSlowClients: whichever route, a client that stalls in the header, in the
// body, between requests or while it should read is let go.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	short := 200 * time.Millisecond
	_, addr, _ := open(t, httpserver.Limits{ReadHeader: short, Read: short, Write: short, Idle: short})
	for _, route := range []string{"GET /api/segment?anonymousId=a", "GET /api/segment/explain?anonymousId=a", "GET /api/stream?anonymousId=a", "POST /api/personalize",
		"GET /esi/hero", "GET /edge/token", "POST /v1/batch", "POST /v1/t", "POST /track"} {
		line := route + " HTTP/1.1\r\nHost: x\r\n"
		if got := send(t, addr, line+"X-Slow: "); got != "" {
			t.Errorf("%s, in the header: %.80q", route, got)
		}
		if strings.HasPrefix(route, "POST") {
			if got := send(t, addr, line+"Content-Length: 100\r\n\r\n{"); got != "" && !strings.HasPrefix(got, "HTTP/1.1 4") {
				t.Errorf("%s, in the body: %.80q", route, got)
			}
			if got := send(t, addr, line+"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"); got != "" && !strings.HasPrefix(got, "HTTP/1.1 4") {
				t.Errorf("%s, in a chunk: %.80q", route, got)
			}
		}
		if !strings.Contains(route, "stream") {
			body := ""
			if strings.HasPrefix(route, "POST") {
				body = "Content-Length: 2\r\n"
				if got := send(t, addr, line+body+"\r\n{}"); !strings.HasPrefix(got, "HTTP/1.1 ") {
					t.Errorf("%s, idle: %.80q", route, got)
				}
			} else if got := send(t, addr, line+"\r\n"); !strings.HasPrefix(got, "HTTP/1.1 ") {
				t.Errorf("%s, idle: %.80q", route, got)
			}
		}
	}
}

// pipe is a listener of one connection, which has no buffer between its ends.
type pipe struct{ conn chan net.Conn }

func (p *pipe) Accept() (net.Conn, error) {
	if c := <-p.conn; c != nil {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p *pipe) Close() error   { close(p.conn); return nil }
func (p *pipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// TestDoesNotRead: a client that asks and does not read the answer is cut off.
func TestDoesNotRead(t *testing.T) {
	t.Parallel()
	n, _, _ := open(t, httpserver.Limits{})
	mux := http.NewServeMux()
	n.Register(mux)
	for _, ask := range []string{"GET /api/segment?anonymousId=a HTTP/1.1\r\nHost: x\r\n\r\n", "GET /esi/hero?page=home HTTP/1.1\r\nHost: x\r\n\r\n", "POST /api/personalize HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"} {
		p := &pipe{make(chan net.Conn, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- httpserver.Run(ctx, httpserver.New(mux, httpserver.Limits{Write: 100 * time.Millisecond}), p, time.Second)
		}()
		client, server := net.Pipe()
		p.conn <- server
		client.SetDeadline(time.Now().Add(30 * time.Second))
		_, err := io.WriteString(client, ask)
		check(t, err)
		if _, err := io.WriteString(client, ask); err != io.ErrClosedPipe { // one byte is read ahead
			t.Errorf("the node holds on to a client that does not read: %v", err)
		}
		client.Close()
		cancel()
		check(t, <-ended)
	}
}

// TestLimits: headers, bodies, their depth and what they unpack to are bounded.
func TestLimits(t *testing.T) {
	t.Parallel()
	_, addr, _ := open(t, httpserver.Limits{Header: 8 << 10})
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 64 {
		z.Write(make([]byte, 1<<20))
	}
	z.Close()
	post := func(path, body string, header ...string) int {
		r, err := http.NewRequest("POST", "http://"+addr+path, strings.NewReader(body))
		check(t, err)
		r.SetBasicAuth("demo", "")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		check(t, err)
		defer resp.Body.Close()
		return resp.StatusCode
	}
	deep := strings.Repeat(`{"a":`, 10_000)
	for name, c := range map[string]struct{ got, want int }{
		"bomb":                 {post("/v1/batch", bomb.String(), "Content-Encoding", "gzip"), 413},
		"unmarked bomb":        {post("/v1/t", bomb.String()), 413},
		"bomb to the api":      {post("/api/personalize", bomb.String(), "Content-Encoding", "gzip", "Authorization", "Bearer "+strings.Repeat("admin", 8)), 400},
		"deep batch":           {post("/v1/batch", `{"batch":`+deep), 400},
		"deep to the api":      {post("/api/personalize", `{"event":`+deep, "Authorization", "Bearer "+strings.Repeat("admin", 8)), 400},
		"large batch":          {post("/v1/batch", `{"batch":[`+strings.Repeat(" ", 1<<20)+`]}`), 413},
		"large to the api":     {post("/api/personalize", `"`+strings.Repeat("x", 1<<20)+`"`, "Authorization", "Bearer "+strings.Repeat("admin", 8)), 413},
		"large header":         {post("/v1/batch", "{}", "X-Large", strings.Repeat("x", 64<<10)), 431},
		"write key that reads": {post("/api/personalize", "{}"), 403},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", name, c.got, c.want)
		}
	}
	if got := send(t, addr, "GET /"+strings.Repeat("x", 64<<10)+" HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431") {
		t.Errorf("long URL: %.80q", got)
	}
	if got := send(t, addr, "POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\nGET /api/segment HTTP/1.1\r\nHost: x\r\n\r\n"); strings.Count(got, "HTTP/1.1 ") > 1 {
		t.Errorf("a smuggled request is answered: %.300q", got)
	}
}

// TestReady: a node is ready once it has read what the topic held; it collects
// and answers from its start, and a second one answers alike.
func TestReady(t *testing.T) {
	t.Parallel()
	n, addr, brokers := open(t, httpserver.Limits{})
	check(t, n.Ready(t.Context()))
	w, err := segmentsio.Open(segmentsio.Config{Brokers: brokers, Topic: "segments"})
	check(t, err)
	defer w.Close(context.Background())
	var rec, keyed codec.Writer
	(&segment.Record{Version: 1, Path: "everyone/low_intent", Evaluated: time.Now().UnixMilli()}).AppendTo(&rec)
	segment.AppendKeyed(&keyed, "d:a", rec.B)
	check(t, w.Publish(t.Context(), keyed.B))
	check(t, w.Flush(t.Context()))
	second, err := Open(t.Context(), config.Demo(), Options{Brokers: brokers, Events: "events", Segments: "segments", Site: "shop", Secrets: Secrets{TokenKeys: testKeys}})
	check(t, err)
	defer func() { check(t, second.Close(context.Background())) }()
	check(t, second.Store.Wait(t.Context()))
	mux := http.NewServeMux()
	second.Register(mux)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		resp, err := http.Get("http://" + addr + "/api/segment?anonymousId=a")
		check(t, err)
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		check(t, err)
		if strings.Contains(string(b), `"path":"everyone/low_intent"`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%s", b)
		}
	}
	if st := second.Store.Stats(); !st.Ready || st.Profiles != 1 {
		t.Errorf("the second node: %+v", st)
	}
}

// TestRefused: what a node cannot start with is said.
func TestRefused(t *testing.T) {
	t.Parallel()
	log, err := kafkalog.Start(kafkalog.Options{Topics: []string{"events"}})
	check(t, err)
	t.Cleanup(log.Close)
	o := Options{Brokers: log.Brokers(), Events: "events", Segments: "segments", Secrets: Secrets{TokenKeys: testKeys}}
	if _, err := Open(t.Context(), config.Demo(), o); err == nil || !strings.Contains(err.Error(), "segments") {
		t.Errorf("without the topic: %v", err)
	}
	check(t, segmentsio.CreateTopic(t.Context(), log.Brokers(), "segments", 1))
	o.Secrets.TokenKeys = "short:00"
	if _, err := Open(t.Context(), config.Demo(), o); err == nil || !strings.Contains(err.Error(), "openssl") {
		t.Errorf("with a short key: %v", err)
	}
	o.Secrets.TokenKeys = testKeys
	if s, err := API(config.Demo(), o); err != nil || s.Store != nil {
		t.Errorf("answers without a log: %v", err)
	}
}

// TestLocalSecrets: a folder keeps what was made up once, for its owner alone.
func TestLocalSecrets(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(EnvTokenKeys, "")
	t.Setenv(EnvAdminKey, "")
	if _, err := SecretsFromEnv(); err == nil || !strings.Contains(err.Error(), EnvTokenKeys) {
		t.Errorf("%v", err)
	}
	one, err := LocalSecrets(dir)
	check(t, err)
	two, err := LocalSecrets(dir)
	check(t, err)
	other, err := LocalSecrets(t.TempDir())
	check(t, err)
	if one != two || one == other || len(one.AdminKey) < 32 || one.AdminKey == strings.TrimPrefix(one.TokenKeys, "local:") {
		t.Error("secrets are made up anew, or are the same in two folders")
	}
	for _, name := range []string{"token.keys", "admin.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		check(t, err)
		if got := fmt.Sprintf("%o", info.Mode().Perm()); got != "600" {
			t.Errorf("%s may be read by others: %s", name, got)
		}
	}
	t.Setenv(EnvTokenKeys, testKeys)
	t.Setenv(EnvAdminKey, strings.Repeat("admin", 8))
	if s, err := LocalSecrets(dir); err != nil || s != (Secrets{TokenKeys: testKeys, AdminKey: strings.Repeat("admin", 8)}) {
		t.Errorf("the environment: %v", err)
	}
}
