package httpserver

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// LocalHost is h behind a look at the Host header, where addr (host:port, or that of a
// listener) is of this machine alone: a page that is open in a browser on the machine
// may have a name whose address its owner changes to 127.0.0.1 (DNS rebinding); the
// browser then lets the page read the answers, and sends that name as the Host.
func LocalHost(h http.Handler, addr string) http.Handler {
	if !isLocal(addr) {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "" && !isLocal(r.Host) { // a browser always sends one
			http.Error(w, fmt.Sprintf("this address is for this machine alone: ask for localhost or 127.0.0.1, not for %q", r.Host), http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// isLocal reports whether an address, with a port or without, is one of this machine alone.
func isLocal(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
