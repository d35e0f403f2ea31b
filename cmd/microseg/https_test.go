package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/testing/harness/certs"
	"github.com/prometheus/client_golang/prometheus"
)

// TestHTTPS: the public listener has the certificate that the environment names, and
// the admin is told of one that was changed and is no good.
func TestHTTPS(t *testing.T) {
	p, err := certs.New(t.TempDir(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(httpserver.HTTP.Variable("CERT_FILE"), p.Cert)
	t.Setenv(httpserver.HTTP.Variable("KEY_FILE"), p.Key)
	s, err := listen("127.0.0.1:0", http.NotFoundHandler(), httpserver.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close(); https.Store(nil) })
	b, err := os.ReadFile(p.Cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	res, err := client.Get(scheme() + "://" + s.addr)
	if err != nil || res.StatusCode != http.StatusNotFound || res.ProtoMajor != 2 {
		t.Fatal(res, err)
	}
	res.Body.Close()
	mux := http.NewServeMux()
	(&probes{live: func() error { return nil }, metrics: prometheus.NewRegistry()}).admin(mux)
	says := func() string {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/livez", nil))
		return w.Body.String()
	}
	if text := says(); strings.Contains(text, "certificate") {
		t.Error(text)
	}
	if err := os.WriteFile(p.Key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "a word about the certificate", func() bool { return strings.Contains(says(), "degraded: the certificate of HTTPS") })
}
