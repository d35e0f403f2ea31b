package attack

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Addresses on loopback: everybody has their own, since nodes count by address.
var (
	shopHost   = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	canaryHost = func(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 1, 0, byte(1 + i)}) }
	crowdHost  = func(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 2, byte(i / 250), byte(1 + i%250)}) }
	botHost    = func(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 66, byte(i / 250), byte(1 + i%250)}) }
)

// patience bounds a request.
const patience = 30 * time.Second

// sender speaks to the node from one address.
type sender struct {
	url, key string
	http     *http.Client
	dial     func(context.Context) (net.Conn, error)
}

// sender is who speaks from host. A node that is not on loopback sees all of them
// as one.
func (s *suite) sender(host netip.Addr) *sender {
	u, err := url.Parse(s.o.URL)
	if err != nil {
		panic(err) // open has looked
	}
	d := &net.Dialer{Timeout: patience}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && a.IsLoopback() && a.Is4() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(host, 0))
	}
	t := &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: 8, IdleConnTimeout: 5 * time.Second}
	return &sender{url: s.o.URL, key: s.o.WriteKey, http: &http.Client{Transport: t, Timeout: patience},
		dial: func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", u.Host) }}
}

func (x *sender) close() { x.http.CloseIdleConnections() }

// object is an event, or a part of one.
type object = map[string]any

// track is an event of a device.
func track(device, name string, more ...object) object {
	e := object{"type": "track", "event": name, "anonymousId": device}
	for _, m := range more {
		for k, v := range m {
			e[k] = v
		}
	}
	return e
}

// added puts so many of a product into the cart.
func added(device string, n int, more ...object) object {
	return track(device, "Product Added", append(more, object{"properties": object{"product_id": "p1", "price": 20, "quantity": n}})...)
}

// at is the time of an event, as RFC 3339.
func at(t time.Time) object { return object{"timestamp": t.UTC().Format(time.RFC3339Nano)} }

// batch sends events in one request and returns the status, 0 where there was no answer.
func (x *sender) batch(ctx context.Context, events ...object) int {
	status, _ := x.post(ctx, "/v1/batch", object{"batch": events, "writeKey": x.key, "sentAt": time.Now().UTC().Format(time.RFC3339Nano)}, nil)
	return status
}

// must sends what has to arrive: an honest client sends again where it is told to.
func (x *sender) must(ctx context.Context, events ...object) error {
	for i := 0; ; i++ {
		status := x.batch(ctx, events...)
		if status == http.StatusOK {
			return nil
		}
		if i == 20 {
			return fmt.Errorf("the collector answers an honest client with %d, again and again", status)
		}
		if err := rest(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// server sends as the shop's server does: its secret key as the user of Basic authentication.
func (x *sender) server(ctx context.Context, key string, events ...object) error {
	status, body := x.post(ctx, "/v1/batch", object{"batch": events}, func(r *http.Request) { r.SetBasicAuth(key, "") })
	if status != http.StatusOK {
		return fmt.Errorf("the shop's server is answered %d %s", status, body)
	}
	return nil
}

func (x *sender) post(ctx context.Context, path string, body any, more func(*http.Request)) (status int, answer []byte) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // maps of plain values
	}
	return x.do(ctx, http.MethodPost, path, b, more)
}

func (x *sender) get(ctx context.Context, path string) (status int, answer []byte) {
	return x.do(ctx, http.MethodGet, path, nil, nil)
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// do is one request; no answer at all is status 0.
func (x *sender) do(ctx context.Context, method, path string, body []byte, more func(*http.Request)) (status int, answer []byte) {
	r, err := http.NewRequestWithContext(ctx, method, x.url+path, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if more != nil {
		more(r)
	}
	a, err := x.http.Do(r)
	if err != nil {
		return 0, nil
	}
	defer a.Body.Close()
	answer, _ = io.ReadAll(io.LimitReader(a.Body, maxAnswer))
	return a.StatusCode, answer
}

// state is what is told of a visitor.
type state struct {
	Known    bool           `json:"known"`
	Path     string         `json:"path"`
	Served   string         `json:"served"`
	Token    string         `json:"token"`
	Features map[string]any `json:"features"`
}

func (s state) cart() float64 { n, _ := s.Features["cart.items"].(float64); return n }

// device asks for the state of a device, as a page does.
func (x *sender) device(ctx context.Context, id string) state {
	status, b := x.get(ctx, "/api/segment?anonymousId="+url.QueryEscape(id))
	if status != http.StatusOK {
		return state{}
	}
	return decodeState(b)
}

// until asks again and again, and reports whether good was ever true.
func until(ctx context.Context, d time.Duration, good func() bool) bool {
	for deadline := time.Now().Add(d); ; {
		if good() {
			return true
		}
		if time.Now().After(deadline) || rest(ctx, 20*time.Millisecond) != nil {
			return false
		}
	}
}

// bots are attackers with an address each.
type bots []*sender

func (s *suite) bots(n int) (out bots) {
	for i := range n {
		out = append(out, s.sender(botHost(i)))
	}
	return out
}

func (b bots) close() {
	for _, x := range b {
		x.close()
	}
}

// each does n requests, spread over the bots, a few at a time, and counts the statuses.
func (b bots) each(ctx context.Context, r *Result, n int, do func(i int, x *sender) int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		slots <- struct{}{}
		all.Go(func() {
			status := do(i, b[i%len(b)])
			<-slots
			mu.Lock()
			defer mu.Unlock()
			r.Answers[strconv.Itoa(status)]++
		})
	}
	all.Wait()
}

func decodeState(b []byte) (s state) {
	_ = json.Unmarshal(b, &s) // what is no answer is a state of which nothing is known
	return s
}

// raw posts bytes as a batch.
func (x *sender) raw(ctx context.Context, body []byte, packed bool) int {
	status, _ := x.do(ctx, http.MethodPost, "/v1/batch", body, func(r *http.Request) {
		r.SetBasicAuth(x.key, "")
		if packed {
			r.Header.Set("Content-Encoding", "gzip")
		}
	})
	return status
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b) // to memory
	_ = w.Close()
	return out.Bytes()
}
