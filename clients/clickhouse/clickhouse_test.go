package clickhouse

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/testing/harness/certs"
)

// TestHandshake: the client's certificate reaches a server whose authority is
// trusted; one that is not is told, with the variable to set.
func TestHandshake(t *testing.T) {
	p, err := certs.New(t.TempDir(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	shown := make(chan int, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c := conn.(*tls.Conn)
			if c.Handshake() == nil {
				shown <- len(c.ConnectionState().PeerCertificates)
			}
			c.Close()
		}
	}()
	ping := func() error {
		conn, err := Open(&clickhouse.Options{Addr: []string{l.Addr().String()}})
		if err != nil {
			return err
		}
		defer conn.Close()
		return conn.Ping(t.Context())
	}
	t.Setenv(clients.ClickHouse.Variable("TLS"), "true")
	if err := ping(); err == nil || !strings.Contains(err.Error(), "MICROSEG_CLICKHOUSE_CA_FILE") {
		t.Errorf("an authority that is not trusted: %v", err)
	}
	t.Setenv(clients.ClickHouse.Variable("CA_FILE"), p.Cert)
	t.Setenv(clients.ClickHouse.Variable("CERT_FILE"), p.Cert)
	t.Setenv(clients.ClickHouse.Variable("KEY_FILE"), p.Key)
	if err := ping(); err == nil { // it is no ClickHouse
		t.Error("no error")
	}
	select {
	case n := <-shown:
		if n != 1 {
			t.Errorf("%d certificates of the client", n)
		}
	case <-time.After(time.Minute):
		t.Error("no handshake")
	}
}
