package httpserver_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/serving/httpserver"
)

// TestHTTP2: over TLS that offers it one connection has many requests, and no more than
// the server has said; what one connection holds keeps nobody else out.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	pki := httptest.NewUnstartedServer(nil)
	pki.EnableHTTP2 = true
	pki.StartTLS()
	defer pki.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	most, all, by := 0, 0, map[string]int{}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto)
		if r.URL.Path != "/stream" {
			return
		}
		mu.Lock()
		all++
		by[r.RemoteAddr]++
		most = max(most, by[r.RemoteAddr])
		mu.Unlock()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	cfg := &tls.Config{Certificates: pki.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	go func() {
		ended <- httpserver.Run(ctx, httpserver.New(h, httpserver.Limits{}), tls.NewListener(ln, cfg), time.Millisecond)
	}()
	client := func() *http.Client {
		tr := pki.Client().Transport.(*http.Transport).Clone()
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr, Timeout: 2 * time.Minute}
	}
	ask := func(c *http.Client, path string) string {
		resp, err := c.Get("https://" + ln.Addr().String() + path)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	holder := client()
	for range 150 {
		go ask(holder, "/stream")
	}
	eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return all == 150 })
	for range 20 {
		if got := ask(client(), "/"); got != "HTTP/2.0" {
			t.Fatal(got)
		}
	}
	if most > 100 {
		t.Errorf("one connection has %d requests at once", most)
	}
	cancel()
	<-ended
}
