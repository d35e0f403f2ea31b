package collect

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/serving/throttle"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Limits bound what one client may send, in events; a long one counts once for each
// eventBytes that it begins. There is none for a write key, which all visitors share.
// A rate of 0 is no limit.
type Limits struct {
	Address   throttle.Rate // of one address, or 64 bits of IPv6
	Device    throttle.Rate // of one device from one address; from other addresses it has others
	ServerKey throttle.Rate // with one server key, whatever the address
}

const (
	eventBytes = 4 << 10 // an event's body may have so many bytes before it counts twice
	places     = 1 << 18 // of buckets, 4 MiB a limit
)

// senders are the buckets of those who send.
type senders struct {
	addresses, devices, keys *throttle.Buckets
	refused                  *prometheus.CounterVec
	proxy                    atomic.Pointer[netip.Addr] // that seems to be one, and is not named
}

func newSenders(l *Limits, metrics prometheus.Registerer) (*senders, error) {
	refused, err := throttle.NewRefusals(metrics)
	if err != nil {
		return nil, fmt.Errorf("registering the metric of limits: %w", err)
	}
	return &senders{addresses: throttle.New(l.Address, places), devices: throttle.New(l.Device, places), keys: throttle.New(l.ServerKey, 1), refused: refused}, nil
}

// sender is who has sent a request, and what it has paid for it.
type sender struct {
	*senders
	addr   netip.Addr
	bucket *throttle.Buckets // of the address, or of the server key
	key    throttle.Key
	server bool
	at     time.Time
	paid   int
}

// sender of a request; serverKey is the one that it came with, if it did.
func (s *senders) sender(addr netip.Addr, serverKey string, at time.Time) sender {
	if serverKey != "" {
		return sender{senders: s, addr: addr, bucket: s.keys, key: throttle.KeyOf(netip.Addr{}, serverKey), server: true, at: at}
	}
	return sender{senders: s, addr: addr, bucket: s.addresses, key: throttle.KeyOf(addr, ""), at: at}
}

// arrive takes a token for the request itself, before anything of it is read.
func (s *sender) arrive() error { return s.pay(1) }

// read notes the body's bytes, unpacked. They are here, so they are paid for even if
// nothing comes of them: else a limit would not bound the work that refusing takes.
func (s *sender) read(bytes int) {
	n := bytes / eventBytes
	s.bucket.Spend(s.key, n, s.at)
	s.paid += n
}

// pay takes what so many events cost beyond what is paid already. A batch is let in while
// there is one token: else a large one would never come in beside small ones.
func (s *sender) pay(events int) error {
	n := events - s.paid
	if n <= 0 {
		return nil
	}
	if wait := s.bucket.Charge(s.key, n, s.at); wait > 0 {
		if s.server {
			return s.refuse("server_key_events", "with this server key", wait)
		}
		return s.refuse("address_events", "from this address", wait)
	}
	s.paid = events
	return nil
}

// payDevices takes what the records cost the devices that they are of: all of them, or
// nothing, since libraries send a request again as a whole.
func (s *sender) payDevices(records []*kgo.Record) error {
	if s.server || s.devices == nil || len(records) == 0 {
		return nil
	}
	costs := map[throttle.Key]int{}
	for _, r := range records {
		if len(r.Key) > 0 {
			costs[throttle.KeyOf(s.addr, string(r.Key))] += 1 + len(r.Value)/eventBytes
		}
	}
	for k := range costs {
		if wait := s.devices.Wait(k, 1, s.at); wait > 0 {
			return s.refuse("device_events", "of one device from this address", wait)
		}
	}
	for k, n := range costs {
		s.devices.Spend(k, n, s.at)
	}
	return nil
}

func (s *sender) refuse(limit, what string, wait time.Duration) error {
	s.refused.WithLabelValues(limit).Inc()
	after := throttle.RetryAfter(wait)
	return &refusal{status: http.StatusTooManyRequests, message: fmt.Sprintf("too many events %s; send the request again in %s s", what, after), retry: wait}
}

// notice remembers what seems to be a proxy that is not named: it tells of others, and
// either sits in a private network or has met a limit. Anybody may write such a header.
func (s *senders) notice(clients *throttle.Clients, r *http.Request, refused bool) {
	if !clients.Unknown(r) {
		return
	}
	p, err := netip.ParseAddrPort(r.RemoteAddr)
	if a := p.Addr().Unmap(); err == nil && (refused || a.IsPrivate() || a.IsLoopback()) {
		s.proxy.Store(&a)
	}
}

// Notes say what the operator should know of who sends.
func (c *Collector) Notes() []string {
	a := c.senders.proxy.Load()
	if a == nil {
		return nil
	}
	return []string{fmt.Sprintf("%s sends for others, as a proxy does, and serving.trusted_proxies does not name it: all who come through it share the limits of one client; "+
		"name it if it is yours", a)}
}
