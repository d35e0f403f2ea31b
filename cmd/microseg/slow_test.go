package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/serving/httpserver"
)

// TestSlowClientsOfEveryListener: health, metrics and admin routes, of a job, a node or the
// Redis writer, are answered while clients hold more connections than the listener has:
// idle ones, such as say half a head, and such as say no body.
func TestSlowClientsOfEveryListener(t *testing.T) {
	t.Parallel()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "ok")
	})
	public, err := listen("127.0.0.1:0", h, httpserver.Limits{Connections: adminConnections})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { public.stop() })
	admins, err := listenAdmin("127.0.0.1:0", h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admins.stop() })
	for name, addr := range map[string]string{"public": public.addr, "admin": admins.addr} {
		for _, say := range []string{"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nX: ", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1"} {
			t.Run(name+" "+say[len(say)-4:], func(t *testing.T) {
				t.Parallel()
				for i := range adminConnections + 60 {
					conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("127.0.2.%d", 1+i%3))}}).Dial("tcp", addr)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { conn.Close() })
					io.WriteString(conn, say)
				}
				for i := range 10 {
					if !answers(addr, 50) {
						t.Fatalf("request %d is not answered", i)
					}
				}
			})
		}
	}
}

// answers reports whether a client gets its answer, if need be on another connection.
func answers(addr string, tries int) bool {
	for range tries {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			continue
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		got, _ := io.ReadAll(conn)
		conn.Close()
		if strings.HasPrefix(string(got), "HTTP/1.1 200") {
			return true
		}
		time.Sleep(30 * time.Millisecond)
	}
	return false
}
