package throttle

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Clients tells whose a request is. The zero value trusts no proxy.
type Clients struct {
	trusted   []netip.Prefix
	forwarded bool // the proxies tell in Forwarded (RFC 7239), not in X-Forwarded-For
}

// Headers in which a proxy tells whom it speaks for. What a proxy does not write
// itself it passes on as the client wrote it, so only one of them is believed.
const (
	HeaderFor       = "X-Forwarded-For"
	HeaderForwarded = "Forwarded"
)

// NewClients trusts the proxies at these addresses, or in these networks (CIDR), to
// say in a header (empty: X-Forwarded-For) whom they speak for.
func NewClients(proxies []string, header string) (*Clients, error) {
	c := &Clients{forwarded: strings.EqualFold(header, HeaderForwarded)}
	if header != "" && !c.forwarded && !strings.EqualFold(header, HeaderFor) {
		return nil, fmt.Errorf("%q is no header that names clients; choose %s or %s", header, HeaderFor, HeaderForwarded)
	}
	for _, text := range proxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%q is neither an address nor a network; write 10.1.2.3 or 10.0.0.0/8", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if a := p.Addr(); a.Is4In6() {
			p = netip.PrefixFrom(a.Unmap(), max(0, p.Bits()-96))
		}
		c.trusted = append(c.trusted, p.Masked())
	}
	return c, nil
}

// Of is the client of a request, for KeyOf: the address at the other end of the
// connection, or, where that is a trusted proxy, the last address of its header
// that is no trusted proxy itself. Everything before that one the client can have
// written. Of an IPv6 address it is the network of 64 bits, which one household has.
func (c *Clients) Of(r *http.Request) netip.Addr {
	client := addrOf(r.RemoteAddr)
	if !c.Trusts(client) {
		return network(client)
	}
	for hop := range c.hops(r.Header) {
		a := addrOf(hop)
		if !a.IsValid() { // "unknown", or nonsense: the proxy that wrote it answers for it
			break
		}
		client = a
		if !c.Trusts(a) {
			break
		}
	}
	return network(client)
}

// Peer is who is at the other end of a connection: a client, as Of tells it, or a proxy that
// is trusted, by its own address.
func (c *Clients) Peer(remote net.Addr) (a netip.Addr, trusted bool) {
	if a = addrOf(remote.String()); c.Trusts(a) {
		return a, true
	}
	return network(a), false
}

// Trusts reports whether an address is a trusted proxy's.
func (c *Clients) Trusts(a netip.Addr) bool {
	if c == nil {
		return false
	}
	for _, p := range c.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Unknown reports whether a request names a client that cannot be believed, since the
// proxy in front is none that is trusted: all of its visitors then pass for one.
func (c *Clients) Unknown(r *http.Request) bool {
	return (len(r.Header[HeaderFor]) > 0 || len(r.Header[HeaderForwarded]) > 0) && !c.Trusts(addrOf(r.RemoteAddr))
}

// hops are the addresses of the header, the last one first.
func (c *Clients) hops(h http.Header) func(yield func(string) bool) {
	name := HeaderFor
	if c.forwarded {
		name = HeaderForwarded
	}
	return func(yield func(string) bool) {
		lines := h[name]
		for i := len(lines) - 1; i >= 0; i-- {
			for rest, more := lines[i], true; more; {
				var hop string
				if at := strings.LastIndexByte(rest, ','); at >= 0 {
					rest, hop = rest[:at], rest[at+1:]
				} else {
					hop, more = rest, false
				}
				if c.forwarded {
					hop = forOf(hop)
				}
				if !yield(hop) {
					return
				}
			}
		}
	}
}

// forOf is the parameter "for" of an element of Forwarded.
func forOf(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(pair, "=")
		if strings.EqualFold(strings.TrimSpace(name), "for") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// addrOf reads an address with a port or without; the zero Addr if it is none.
func addrOf(text string) netip.Addr {
	text = strings.TrimSpace(text)
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		p, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}
		}
		a = p.Addr()
	}
	return a.Unmap().WithZone("")
}

// nat64 is where a network without IPv4 shows the addresses of IPv4 (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// network is what one client has: an address of IPv4, or 64 bits of IPv6.
func network(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	if nat64.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}
