package httpserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/testing/harness/certs"
)

// TestCertificatesAreReadAgain: a new pair in the files is what the next handshake sees,
// while a connection that is there goes on; a pair that is no good leaves the one before,
// and is told. TLS 1.1 is refused.
func TestCertificatesAreReadAgain(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	pair := func() *x509.CertPool {
		p, err := certs.New(dir, now.Add(-time.Hour), now.Add(time.Hour), "localhost")
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(HTTP.Variable("CERT_FILE"), p.Cert)
		t.Setenv(HTTP.Variable("KEY_FILE"), p.Key)
		b, err := os.ReadFile(p.Cert)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(b)
		return pool
	}
	first := pair()
	c, err := ReadCertificates()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := answer(ctx, c.Listen(ln))
	t.Cleanup(func() { stop(); <-done })
	dial := func(pool *x509.CertPool, max uint16) (*tls.Conn, error) {
		return tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: pool, MaxVersion: max, ServerName: "localhost"})
	}
	kept, err := dial(first, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if _, err := dial(first, tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is taken")
	}
	takes := func(what string, pool *x509.CertPool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			conn, err := dial(pool, 0)
			if err == nil {
				conn.Close()
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	second := pair()
	takes("the new certificate", second)
	if err := os.WriteFile(os.Getenv(HTTP.Variable("CERT_FILE")), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); c.Trouble() == "" && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
	}
	if !strings.Contains(c.Trouble(), "not taken") {
		t.Errorf("nothing is told: %q", c.Trouble())
	}
	takes("the one before, with a bad pair in the files", second)
	third := pair()
	takes("a good one again", third)
	if c.Trouble() != "" {
		t.Errorf("it is told still: %s", c.Trouble())
	}
	fmt.Fprint(kept, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	_ = kept.SetReadDeadline(time.Now().Add(time.Minute))
	b := [12]byte{}
	if _, err := kept.Read(b[:]); err != nil || string(b[:]) != "HTTP/1.1 204" {
		t.Errorf("the connection of before: %q, %v", b, err)
	}
	t.Setenv(HTTP.Variable("KEY_FILE"), "")
	if _, err := ReadCertificates(); err == nil || !strings.Contains(err.Error(), "MICROSEG_HTTP_KEY_FILE") {
		t.Errorf("a certificate without a key: %v", err)
	}
}

func answer(ctx context.Context, ln net.Listener) chan error {
	done := make(chan error, 1)
	srv := New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }), Limits{ReadHeader: time.Minute})
	go func() { done <- Run(ctx, srv, ln, time.Second) }()
	return done
}
