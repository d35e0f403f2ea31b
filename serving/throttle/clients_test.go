package throttle

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
)

// TestClients: the header counts from a trusted proxy alone, and of it the last
// address that is no proxy's: all before it the client can have written.
func TestClients(t *testing.T) {
	t.Parallel()
	proxies := []string{"10.0.0.0/8", "2001:db8:ff::/48", "192.0.2.9", "::ffff:198.51.100.0/120"}
	for _, c := range []struct{ header, peer, value, want string }{
		{"", "203.0.113.5:1", "", "203.0.113.5"},
		{"", "203.0.113.5:1", "198.18.0.1", "203.0.113.5"}, // who is no proxy says what he likes
		{"", "[::ffff:203.0.113.5]:1", "", "203.0.113.5"},
		{"", "[2001:db8::1:2:3:4]:1", "", "2001:db8::"},
		{"", "[2001:db8:0:1:2::]:1", "", "2001:db8:0:1::"},
		{"", "[fe80::1%eth0]:1", "", "fe80::"},
		{"", "[64:ff9b::203.0.113.5]:1", "", "203.0.113.5"}, // not one client for all of IPv4
		{"", "10.1.2.3:1", "203.0.113.5", "203.0.113.5"},
		{"", "10.1.2.3:1", "198.18.0.1, 203.0.113.5", "203.0.113.5"}, // he began the header himself
		{"", "10.1.2.3:1", "198.18.0.1, 203.0.113.5, 10.9.9.9,192.0.2.9", "203.0.113.5"},
		{"", "198.51.100.7:1", "203.0.113.5", "203.0.113.5"},
		{"", "10.1.2.3:1", "203.0.113.5:4711", "203.0.113.5"},
		{"", "10.1.2.3:1", "[2001:db8::1]:4711", "2001:db8::"},
		{"", "10.1.2.3:1", "2001:db8::1", "2001:db8::"},
		{"", "[2001:db8:ff::1]:1", "10.0.0.1", "10.0.0.1"}, // a client within the trusted network
		{"", "10.1.2.3:1", "", "10.1.2.3"},
		{"", "10.1.2.3:1", "198.18.0.1, unknown", "10.1.2.3"},
		{"", "10.1.2.3:1", "198.18.0.1,", "10.1.2.3"},
		{"", "10.1.2.3:1", "198.18.0.1, nonsense, 10.4.4.4", "10.4.4.4"},
		{"Forwarded", "10.1.2.3:1", `for=198.18.0.1, for="[2001:db8::1]:80";proto=https;by=10.0.0.1`, "2001:db8::"},
		{"Forwarded", "10.1.2.3:1", `proto=https; For=203.0.113.5`, "203.0.113.5"},
		{"Forwarded", "10.1.2.3:1", `for=198.18.0.1, for=_hidden`, "10.1.2.3"},
		{"Forwarded", "203.0.113.5:1", `for=198.18.0.1`, "203.0.113.5"},
		{"", "nonsense", "198.18.0.1", "invalid IP"},
	} {
		clients, err := NewClients(proxies, c.header)
		if err != nil {
			t.Fatal(err)
		}
		// The other header comes from the client: the proxy passes it on.
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{HeaderFor: {"9.9.9.9"}, HeaderForwarded: {"for=9.9.9.9"}}}
		name := HeaderFor
		if c.header != "" {
			name = c.header
		}
		r.Header[name] = []string{c.value}
		if c.value == "" {
			delete(r.Header, name)
		}
		if got := clients.Of(r).String(); got != c.want {
			t.Errorf("%s of %s with %q: %s, want %s", name, c.peer, c.value, got, c.want)
		}
	}
}

// TestHeaderLines: a proxy may add a line of its own instead of a hop.
func TestHeaderLines(t *testing.T) {
	t.Parallel()
	clients, err := NewClients([]string{"10.0.0.0/8"}, "")
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{HeaderFor: {"198.18.0.1, 198.18.0.2", "203.0.113.5", "10.0.0.2"}}}
	if got := clients.Of(r).String(); got != "203.0.113.5" {
		t.Error(got)
	}
}

// TestPeer: a proxy is known by its address, not by the network that it shares.
func TestPeer(t *testing.T) {
	t.Parallel()
	clients, err := NewClients([]string{"2001:db8::5", "10.0.0.0/8"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for remote, want := range map[string]string{"[2001:db8::5]:1": "2001:db8::5 true", "[2001:db8::6]:1": "2001:db8:: false", "10.1.1.1:1": "10.1.1.1 true", "192.0.2.1:1": "192.0.2.1 false"} {
		a, trusted := clients.Peer(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(remote)))
		if got := fmt.Sprint(a, " ", trusted); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

// TestUnknown: a proxy that nobody has named is told of.
func TestUnknown(t *testing.T) {
	t.Parallel()
	clients, err := NewClients([]string{"10.0.0.0/8"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for peer, want := range map[string]bool{"10.0.0.1:1": false, "172.16.0.1:1": true} {
		r := &http.Request{RemoteAddr: peer, Header: http.Header{HeaderFor: {"203.0.113.5"}}}
		if clients.Unknown(r) != want || (*Clients)(nil).Unknown(r) != true {
			t.Error(peer)
		}
	}
}

func TestClientsAreSaidWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ proxy, header string }{{"10.0.0.0/33", ""}, {"varnish", ""}, {"10.0.0.1", "X-Real-IP"}} {
		if _, err := NewClients([]string{c.proxy}, c.header); err == nil {
			t.Errorf("%v is taken", c)
		}
	}
}
