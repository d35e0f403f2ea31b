package collect_test

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/throttle"
)

// from sends by another address of this machine.
func (s *site) from(addr string) *site {
	s.t.Helper()
	at := *s
	tr := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}).DialContext}
	s.t.Cleanup(tr.CloseIdleConnections)
	at.client = &http.Client{Transport: tr}
	return &at
}

// track is n events, of devices d0, d1, …, of which there are so many.
func track(n, devices int, prefix string) string {
	var b strings.Builder
	b.WriteString(`{"batch":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"track","event":"A","anonymousId":"%s%d","messageId":"%s-%d"}`, prefix, i%devices, prefix, i)
	}
	b.WriteString(`]}`)
	return b.String()
}

// limited is a collector with limits that tests meet at once, and that nothing
// comes back from while a test runs.
func limited(t *testing.T, change func(*collect.Config)) *site {
	return start(t, func(c *collect.Config) {
		c.ServerKeys = []string{serverKey}
		c.Limits = collect.Limits{Address: throttle.Rate{PerSecond: 0.01, Burst: 100}, Device: throttle.Rate{PerSecond: 0.01, Burst: 20},
			ServerKey: throttle.Rate{PerSecond: 0.01, Burst: 200}}
		if change != nil {
			change(c)
		}
	})
}

// busy fails unless the answer says when to come back.
func (s *site) busy(r reply, what string) {
	s.t.Helper()
	after, err := strconv.Atoi(r.header.Get("Retry-After"))
	if r.code != 429 || err != nil || after < 1 {
		s.t.Errorf("%s: answered %d %s, Retry-After %q", what, r.code, r.body, r.header.Get("Retry-After"))
	}
}

// TestAddressLimit: one address could send as much as it liked, and all others
// waited for it. A key that all visitors share can have no limit; an address has one,
// and what is refused is not kept, so that the client can send it again as it is.
func TestAddressLimit(t *testing.T) {
	t.Parallel()
	s := limited(t, nil)
	s.ok(s.post("/v1/batch", track(100, 50, "a"), auth))
	s.busy(s.post("/v1/batch", track(10, 10, "b"), auth), "a batch")
	s.busy(s.post("/v1/track", `{"event":"A","anonymousId":"x"}`, auth), "an event")
	s.busy(s.do("GET", "/v1/pixel/track?data={}&writeKey=demo", ""), "a picture")
	s.busy(s.post("/track", `[{"event":"A","properties":{"token":"demo","distinct_id":"d"}}]`), "Mixpanel's form")
	s.busy(s.post("/v1/batch", track(1, 1, "c"), header("Authorization", "Basic eA==")), "an unknown key")
	s.ok(s.from("127.0.0.2").post("/v1/batch", track(90, 50, "d"), auth))
	s.records(190)
	s.from("127.0.0.3").nothing()
	if got := throttled(t, s, "address_events"); got != 5 {
		t.Errorf("%v requests are counted as refused", got)
	}
}

// TestSpoofedAddress: who is no proxy that is named may write what he likes in the
// headers that name clients; it neither helps him nor harms whom he names.
func TestSpoofedAddress(t *testing.T) {
	t.Parallel()
	s := limited(t, func(c *collect.Config) {
		c.Clients, _ = throttle.NewClients([]string{"127.0.0.9"}, "")
	})
	for i := range 10 {
		named := header("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i))
		r := s.post("/v1/batch", track(100, 50, "a"), auth, named)
		if i == 0 {
			s.ok(r)
			continue
		}
		s.busy(r, "an address that he made up")
	}
	if n := s.c.Notes(); len(n) != 1 || !strings.Contains(n[0], "127.0.0.1 sends for others") {
		t.Errorf("%q", n)
	}
	proxy := s.from("127.0.0.9")
	for i := range 10 {
		proxy.ok(proxy.post("/v1/batch", track(100, 50, "b"), auth, header("X-Forwarded-For", fmt.Sprintf("9.9.9.9, 198.51.100.%d", i))))
	}
	proxy.busy(proxy.post("/v1/batch", track(100, 50, "b"), auth, header("X-Forwarded-For", "8.8.8.8, 198.51.100.3")), "a client behind the proxy")
}

// TestDeviceLimit: a stranger who sends another's anonymousId from elsewhere does not
// throttle its owner, and one device does not use up what its address may send.
func TestDeviceLimit(t *testing.T) {
	t.Parallel()
	s := limited(t, nil)
	attacker := s.from("127.0.0.2")
	attacker.ok(attacker.post("/v1/batch", track(20, 1, "victim"), auth))
	attacker.busy(attacker.post("/v1/batch", track(1, 1, "victim"), auth), "more of one device")
	s.ok(s.post("/v1/batch", track(20, 1, "victim"), auth))
	s.records(40)

	// A batch is taken or refused as a whole: libraries know no other answer.
	s.busy(s.post("/v1/batch", strings.Replace(track(10, 10, "other"), "other9", "victim0", 1), auth), "a batch with one event too many")
	s.ok(s.post("/v1/batch", track(10, 10, "other"), auth))
	s.records(10)
	attacker.nothing()
	if got := throttled(t, s, "device_events"); got != 2 {
		t.Errorf("%v requests are counted as refused", got)
	}
}

// TestServerKeyLimit: a server sends for all of its users from one address. It has a
// limit of its own, whatever its address has sent, and none for a user.
func TestServerKeyLimit(t *testing.T) {
	t.Parallel()
	s := limited(t, nil)
	s.ok(s.post("/v1/batch", track(100, 50, "a"), auth))
	s.busy(s.post("/v1/batch", track(1, 1, "b"), auth), "the address")
	s.ok(s.post("/v1/batch", track(100, 1, "c"), server))
	s.ok(s.from("127.0.0.2").post("/v1/batch", track(100, 1, "d"), server))
	s.busy(s.from("127.0.0.3").post("/v1/batch", track(1, 1, "e"), server), "the key, from anywhere")
	s.records(300)
	if got := throttled(t, s, "server_key_events"); got != 1 {
		t.Errorf("%v requests are counted as refused", got)
	}
}

// TestBytesCount: what is long counts more than once, also where it is refused or packed:
// a limit on events alone let one address send, and have unpacked, as many bytes as it liked.
func TestBytesCount(t *testing.T) {
	t.Parallel()
	long := `{"event":"A","anonymousId":"x","properties":{"a":"` + strings.Repeat("x", 400<<10) + `"}}`
	for name, body := range map[string]string{"long": long, "packed": zipped(long), "no JSON": strings.Repeat("x", 450<<10)} {
		s := limited(t, nil)
		s.post("/v1/track", body, auth) // 100 of 100 tokens
		s.busy(s.post("/v1/track", `{"event":"A","anonymousId":"y"}`, auth), name)
	}
}

// TestRetryAfter: who comes back when he was told to is let in.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	s := limited(t, func(c *collect.Config) { c.Limits.Address = throttle.Rate{PerSecond: 10, Burst: 100} })
	s.ok(s.post("/v1/batch", track(60, 50, "a"), auth))
	s.ok(s.post("/v1/batch", track(100, 50, "b"), auth)) // of which 60 are owed
	r := s.post("/v1/batch", track(100, 50, "c"), auth)
	s.busy(r, "too early")
	after, _ := strconv.Atoi(r.header.Get("Retry-After"))
	if after > 8 {
		t.Errorf("told to wait %d s for 61 tokens of 10 a second", after)
	}
	time.Sleep(time.Duration(after) * time.Second)
	s.ok(s.post("/v1/batch", track(100, 50, "c"), auth))
}

// TestManyUsersOfOneServer: with the shipped limits a server library sends for 5,000
// users in the batches that it makes, with a server key and with a write key.
func TestManyUsersOfOneServer(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *collect.Config) {
		c.ServerKeys, c.Unchecked, c.Limits = []string{serverKey}, true, shippedLimits()
	})
	for _, key := range []string{serverKey, key} {
		for i := range 100 {
			var events []string
			for n := range 100 {
				events = append(events, fmt.Sprintf(`{"type":"track","event":"Order Completed","userId":"u%d","messageId":"%.6s-%d-%d"}`, (i*100+n)%5000, key, i, n))
			}
			s.ok(s.post("/v1/batch", `{"batch":[`+strings.Join(events, ",")+`]}`, func(r *http.Request) { r.SetBasicAuth(key, "") }))
		}
	}
}

func shippedLimits() collect.Limits {
	l := config.Default().Collector.Limits
	return collect.Limits{
		Address:   throttle.Rate{PerSecond: float64(l.AddressRate), Burst: float64(l.AddressBurst)},
		Device:    throttle.Rate{PerSecond: float64(l.DeviceRate), Burst: float64(l.DeviceBurst)},
		ServerKey: throttle.Rate{PerSecond: float64(l.ServerRate), Burst: float64(l.ServerBurst)}}
}
