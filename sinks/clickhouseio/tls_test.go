package clickhouseio

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/sinks/clickhouseio/migrations"
	"github.com/microseg/microseg/testing/harness/certs"
)

// TestTLS: schema, rows and queries through TLS, and who is not let in, or does not let the
// server in, is told what to do, without the password. The embedded ClickHouse has no TLS
// of its own, so something that ends it stands before it, as in many networks.
func TestTLS(t *testing.T) { // not parallel: it sets the environment
	now := time.Now()
	good := pair(t, now.Add(time.Hour), "localhost")
	right, mutual := terminate(t, good, false), terminate(t, good, true)
	expired, other := terminate(t, pair(t, now.Add(-time.Minute), "localhost"), false), terminate(t, pair(t, now.Add(time.Hour), "elsewhere.example"), false)
	dsn, _ := database(t, server)
	at := func(f *front, password string) string {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		if u.Host = f.addr; password != "" {
			u.User = url.UserPassword(u.User.Username(), password)
		}
		return u.String()
	}
	set := func(name, value string) { t.Setenv(clients.ClickHouse.Variable(name), value) }
	try := func(dsn string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := migrations.Up(ctx, dsn); err != nil {
			return err
		}
		w, err := Open(ctx, Config{DSN: dsn, Site: "tls", MaxRows: 10})
		if err != nil {
			return err
		}
		if err := w.Add(ctx, states(t, rows.SegmentState{Site: "tls", Person: "p", Version: 1})); err != nil {
			return err
		}
		return errors.Join(w.Flush(ctx), w.Close())
	}
	set("TLS", "true")
	set("CA_FILE", good.Cert)
	for name, c := range map[string]struct {
		dsn  string
		env  map[string]string
		want string // of the error; empty: none
	}{
		"let in":              {at(right, ""), nil, ""},
		"with a certificate":  {at(mutual, ""), map[string]string{"CERT_FILE": good.Cert, "KEY_FILE": good.Key}, ""},
		"no certificate":      {at(mutual, ""), nil, "MICROSEG_CLICKHOUSE_CERT_FILE"},
		"another authority":   {at(right, ""), map[string]string{"CA_FILE": pair(t, now.Add(time.Hour), "localhost").Cert}, "MICROSEG_CLICKHOUSE_CA_FILE"},
		"the system's":        {at(right, ""), map[string]string{"CA_FILE": ""}, "MICROSEG_CLICKHOUSE_CA_FILE"},
		"expired":             {at(expired, ""), map[string]string{"CA_FILE": expired.pair.Cert}, "has expired"},
		"another name":        {at(other, ""), map[string]string{"CA_FILE": other.pair.Cert}, "MICROSEG_CLICKHOUSE_SERVER_NAME"},
		"another name stated": {at(other, ""), map[string]string{"CA_FILE": other.pair.Cert, "SERVER_NAME": "elsewhere.example"}, ""},
		"wrong password":      {at(right, "tr0ub4dor"), nil, "MICROSEG_CLICKHOUSE_PASSWORD"},
		"TLS at a plain port": {dsn, nil, "TLS"},
		"plain at a TLS port": {at(right, ""), map[string]string{"TLS": "", "CA_FILE": ""}, "MICROSEG_CLICKHOUSE_TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(clients.ClickHouse.Variable(k), v)
			}
			begun := time.Now()
			err := try(c.dsn)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v; want %q", err, c.want)
			case err != nil && (strings.Contains(err.Error(), "tr0ub4dor") || strings.Contains(err.Error(), server.Password())):
				t.Errorf("shows a password: %v", err)
			}
			t.Logf("after %v: %v", time.Since(begun).Round(time.Millisecond), err)
		})
	}
}

// pair makes a certificate, from an hour before its end.
func pair(t *testing.T, to time.Time, name string) certs.Pair {
	t.Helper()
	p, err := certs.New(t.TempDir(), to.Add(-2*time.Hour), to, name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// front ends TLS for the server.
type front struct {
	addr  string
	pair  certs.Pair
	cert  atomic.Pointer[tls.Certificate]
	mu    sync.Mutex
	conns []net.Conn
}

// show makes the front show this certificate from now on; who is connected must come again.
func (f *front) show(t *testing.T, p certs.Pair) {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	f.cert.Store(&cert)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

// terminate takes TLS connections for the server, with the certificate, and of clients
// that have it, too, where it is mutual.
func terminate(t *testing.T, p certs.Pair, mutual bool) *front {
	t.Helper()
	f := &front{pair: p}
	f.show(t, p)
	conf := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.cert.Load(), nil }}
	if mutual {
		pem, err := os.ReadFile(p.Cert)
		if err != nil {
			t.Fatal(err)
		}
		conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		conf.ClientCAs.AppendCertsFromPEM(pem)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			go pass(c)
		}
	}()
	f.addr = l.Addr().String()
	return f
}

// pass copies a connection's bytes to the server and back.
func pass(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", server.Addr())
	if err != nil {
		return
	}
	defer s.Close()
	go func() {
		_, _ = io.Copy(s, c)
		s.Close()
	}()
	_, _ = io.Copy(c, s)
}

// TestCertificateExpires: a certificate that expires while the job runs, and is renewed
// later, costs no row, and the job goes on meanwhile. It ended the job before: a refusal
// passed for one that would last, as it does where it meets a start.
func TestCertificateExpires(t *testing.T) { // not parallel: it sets the environment
	now := time.Now()
	good := pair(t, now.Add(time.Hour), "localhost")
	f := terminate(t, good, false)
	plain, _ := database(t, server)
	t.Setenv(clients.ClickHouse.Variable("TLS"), "true")
	t.Setenv(clients.ClickHouse.Variable("CA_FILE"), good.Cert)
	u, err := url.Parse(plain)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = f.addr
	_, topic := spillLog(t, kafkalog.Options{Dir: t.TempDir()})
	w := open(t, Config{DSN: u.String(), Linger: 20 * time.Millisecond, Spill: topic, SpillAfter: 200 * time.Millisecond, RetryFor: 500 * time.Millisecond})
	i := 0
	step := func(until func() bool) {
		for ; !until(); i++ {
			if err := feed(t.Context(), w, i); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	}
	step(func() bool { return w.Stats().Inserted > 0 })
	f.show(t, pair(t, now.Add(-time.Minute), "localhost"))
	step(func() bool { return w.Stats().Spill.Records > 3 })
	if s := w.Stats().Spill; !strings.Contains(s.Trouble, "certificate") {
		t.Errorf("nothing tells why: %q", s.Trouble)
	}
	f.show(t, good)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := w.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	conn, err := Dial(u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n := scan[uint64](t, conn, "SELECT uniqExact(transition) FROM segment_events"); n != uint64(i) {
		t.Errorf("%d events of %d are there", n, i)
	}
}
