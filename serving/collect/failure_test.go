package collect_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/httpserver"
	dto "github.com/prometheus/client_model/go"
)

// count is the number of events of a kind with an outcome.
func (s *site) count(kind, outcome string) float64 {
	return s.metric("microseg_collector_events_total", kind, outcome)
}

// metric sums the samples of a metric that have all the label values.
func (s *site) metric(name string, values ...string) (sum float64) {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && labelled(m, values) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func labelled(m *dto.Metric, values []string) bool {
	for _, v := range values {
		found := false
		for _, l := range m.GetLabel() {
			found = found || l.GetValue() == v
		}
		if !found {
			return false
		}
	}
	return true
}

// TestLogDown: without the log nothing is acknowledged, and clients are told
// to come back; the collector says that it is not ready.
func TestLogDown(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *collect.Config) { c.ProduceTimeout = 300 * time.Millisecond })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	s.log.Close()
	for _, path := range []string{"/v1/track", "/track"} {
		r := s.post(path, `{"event":"A","anonymousId":"a","properties":{"token":"demo","distinct_id":"a"}}`, auth)
		if r.code != 503 || r.header.Get("Retry-After") == "" || strings.Contains(r.body, "true") || r.body == "1" {
			t.Errorf("%s: %+v", path, r)
		}
	}
	if n := s.metric("microseg_collector_in_flight_bytes"); n != 0 {
		t.Errorf("%v bytes are still in flight", n)
	}
	soon, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := s.c.Ready(soon); err == nil {
		t.Error("the collector is ready without a log")
	}
}

// TestTopicMissing: a log without the topic is not ready, and says so.
func TestTopicMissing(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *collect.Config) { c.Topic, c.ProduceTimeout = "elsewhere", time.Second })
	if err := s.c.Ready(context.Background()); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Error(err)
	}
	if r := s.post("/v1/track", `{"event":"A","anonymousId":"a"}`, auth); r.code != 503 {
		t.Errorf("%+v", r)
	}
}

// TestOverload: bodies beyond MaxInFlight are put off, while those that are there wait for
// the log; memory that was given back is used again.
func TestOverload(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *collect.Config) {
		c.MaxBatchBytes, c.MaxInFlight, c.AddressShare, c.ProduceTimeout = 64<<10, 128<<10, 1, 5*time.Second
	})
	s.log.Close()
	body := `{"event":"A","anonymousId":"a","properties":{"a":"` + strings.Repeat("x", 25<<10) + `"}}`
	answered := make(chan int, 5)
	for i := range cap(answered) {
		go func() { answered <- s.post("/v1/track", body, auth).code }()
		s.inFlight(float64((i + 1) * len(body)))
	}
	if r := s.post("/v1/track", body, auth); r.code != 429 || r.header.Get("Retry-After") == "" {
		t.Errorf("%+v", r)
	}
	if r := s.post("/track?verbose=1", body); r.code != 429 || !strings.Contains(r.body, `"status":0`) {
		t.Errorf("%+v", r)
	}
	for range cap(answered) {
		if code := <-answered; code != 503 {
			t.Errorf("one that waited for the log: %d", code)
		}
	}
	if n := s.metric("microseg_collector_in_flight_bytes"); n != 0 {
		t.Errorf("%v bytes are still in flight", n)
	}
}

// TestSlowClient: a body that never ends is cut off, with the server that we
// ship, and gives its room back.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- httpserver.Run(ctx, httpserver.New(s.c.Handler(), httpserver.Limits{Read: 200 * time.Millisecond}), ln, 5*time.Second)
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408") {
		t.Errorf("%q, %v", answer, err)
	}
	if n := s.metric("microseg_collector_in_flight_bytes"); n != 0 {
		t.Errorf("%v bytes are still in flight", n)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestConcurrent: many clients at once, and every event is there once.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	const clients, each = 8, 25
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				r := s.post("/v1/batch", fmt.Sprintf(`{"batch":[{"type":"page","anonymousId":"a%d","messageId":"%d-%d-1"},{"type":"page","anonymousId":"b","messageId":"%d-%d-2"}]}`, c, c, i, c, i), auth)
				if r.code != 200 {
					t.Errorf("%+v", r)
				}
			}
		})
	}
	wg.Wait()
	seen := map[any]bool{}
	for _, r := range s.records(2 * clients * each) {
		seen[fields(t, r.Value)["messageId"]] = true
	}
	if len(seen) != 2*clients*each || s.count("page", "accepted") != 2*clients*each {
		t.Errorf("%d different events of %d, %v counted", len(seen), 2*clients*each, s.count("page", "accepted"))
	}
}

// TestConfig: what cannot work is refused, with what to do.
func TestConfig(t *testing.T) {
	t.Parallel()
	brokers, keys := []string{"127.0.0.1:1"}, []string{"k"}
	for name, c := range map[string]collect.Config{
		"no brokers":    {WriteKeys: keys},
		"no keys":       {Brokers: brokers},
		"an empty key":  {Brokers: brokers, WriteKeys: []string{""}},
		"small events":  {Brokers: brokers, WriteKeys: keys, MaxEventBytes: 10},
		"small batches": {Brokers: brokers, WriteKeys: keys, MaxBatchBytes: 1000},
		"no room":       {Brokers: brokers, WriteKeys: keys, MaxInFlight: 1000},
		"no events":     {Brokers: brokers, WriteKeys: keys, MaxBatchEvents: -1},
	} {
		if _, err := collect.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
