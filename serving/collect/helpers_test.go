package collect_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/throttle"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"
)

const key = "demo"

// site is a collector before an embedded log.
type site struct {
	t        testing.TB
	log      *kafkalog.Log
	c        *collect.Collector
	url      string
	reader   *kgo.Client
	registry *prometheus.Registry
	client   *http.Client
}

func start(t testing.TB, change func(*collect.Config)) *site {
	t.Helper()
	log, err := kafkalog.Start(kafkalog.Options{Partitions: 2, Topics: []string{"events"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	s := &site{t: t, log: log, registry: prometheus.NewRegistry(), client: http.DefaultClient}
	cfg := collect.Config{Brokers: log.Brokers(), WriteKeys: []string{key, "other"}, Metrics: s.registry}
	if change != nil {
		change(&cfg)
	}
	if s.c, err = collect.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.c.Close(ctx) // of a log that a test has stopped it says so
	})
	srv := httptest.NewServer(s.c.Handler())
	t.Cleanup(srv.Close)
	s.url = srv.URL
	s.reader, err = kgo.NewClient(kgo.SeedBrokers(log.Brokers()...), kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.reader.Close)
	return s
}

// records reads the next n records, and fails when there are fewer.
func (s *site) records(n int) (out []*kgo.Record) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for len(out) < n {
		f := s.reader.PollFetches(ctx)
		if err := f.Err(); err != nil {
			s.t.Fatalf("read %d of %d records: %v", len(out), n, err)
		}
		out = append(out, f.Records()...)
	}
	if len(out) > n {
		s.t.Fatalf("%d records, not %d: %s", len(out), n, out[n].Value)
	}
	return out
}

// nothing fails when the log holds more than what was read: a marker that is
// sent now must be next.
func (s *site) nothing() {
	s.t.Helper()
	s.ok(s.post("/v1/track", `{"event":"marker","anonymousId":"m","messageId":"marker"}`, auth))
	for _, r := range s.records(1) {
		if !bytes.Contains(r.Value, []byte(`"marker"`)) {
			s.t.Fatalf("the log holds %s", r.Value)
		}
	}
}

type option func(*http.Request)

func auth(r *http.Request) { r.SetBasicAuth(key, "") }

func header(k, v string) option { return func(r *http.Request) { r.Header.Set(k, v) } }

type reply struct {
	code   int
	body   string
	header http.Header
}

func (s *site) post(path, body string, opts ...option) reply {
	s.t.Helper()
	return s.do("POST", path, body, opts...)
}

func (s *site) do(method, path, body string, opts ...option) reply {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range opts {
		o(r)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp.StatusCode, string(b), resp.Header}
}

// inFlight waits until there are so many bytes of bodies.
func (s *site) inFlight(n float64) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); s.metric("microseg_collector_in_flight_bytes") < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%v bytes are in flight, not %v", s.metric("microseg_collector_in_flight_bytes"), n)
		}
	}
}

// throttled is how much the collector has refused because of a limit.
func throttled(t testing.TB, s *site, limit string) float64 {
	t.Helper()
	m, err := throttle.NewRefusals(s.registry)
	if err != nil {
		t.Fatal(err)
	}
	var out dto.Metric
	if err := m.WithLabelValues(limit).Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Counter.GetValue()
}

func (s *site) ok(r reply) {
	s.t.Helper()
	if r.code != 200 || r.body != `{"success": true}` {
		s.t.Fatalf("answered %d %s", r.code, r.body)
	}
}

func zipped(body string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(body))
	z.Close()
	return b.String()
}

// decoded reads a record as the job does.
func decoded(t testing.TB, cfg event.Config, r *kgo.Record) (event.Event, []byte, error) {
	t.Helper()
	cfg.MaxBytes = 32<<10 + event.Overhead
	d, err := event.NewDecoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var e event.Event
	err = d.Decode(r.Value, event.Unstated, r.Timestamp.UnixMilli(), &e)
	if typed, ok := err.(*event.Error); ok {
		return e, d.Kept(r.Value, typed), err
	}
	return e, r.Value, err
}
