package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// monitor serves a job's health and metrics:
//
//	/healthz  200 while the pipeline and its sink work; what is degraded, such as
//	          a ClickHouse that is away while rows wait in the log, is named
//	/readyz   200 while what is decided is kept, in ClickHouse or in the log
//	/health   the verdict of `microseg health` as JSON, 503 when a check fails
//	/metrics  Prometheus
type monitor struct {
	job   *job
	also  func(context.Context) error // what else must be ready; nil: nothing
	more  func() string               // what else is degraded; nil: nothing
	trust func() *trustHealth         // what a collector beside it saw; nil: none is
	conn  driver.Conn
	srv   *server
	addr  string
}

// newMonitor connects to the record; close it.
func newMonitor(j *job) (*monitor, error) {
	conn, err := clickhouseio.Dial(j.Sink.DSN)
	if err != nil {
		return nil, err
	}
	return &monitor{job: j, conn: conn}, nil
}

// register adds the routes; metrics are those of the registry.
func (m *monitor) register(mux *http.ServeMux, r *prometheus.Registry) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, m.working(), m.notes()...)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, m.ready(r.Context()), m.notes()...)
	})
	mux.HandleFunc("GET /health", m.health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
}

// startMonitor listens on addr (host:port, port 0 for a free one) until close.
func startMonitor(j *job, r *prometheus.Registry, addr string) (*monitor, error) {
	m, err := newMonitor(j)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	m.register(mux, r)
	if m.srv, err = listen(addr, mux); err != nil {
		m.conn.Close()
		return nil, err
	}
	m.addr = m.srv.addr
	return m, nil
}

func (m *monitor) close() error {
	return errors.Join(m.srv.close(), m.conn.Close())
}

// server is a listening HTTP server.
type server struct {
	addr string
	stop context.CancelFunc
	done chan error
}

// grace is for how long requests may finish when a server stops.
const grace = 5 * time.Second

// listen serves on addr until close.
func listen(addr string, h http.Handler) (*server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening for HTTP: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &server{addr: ln.Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() { s.done <- httpserver.Run(ctx, httpserver.New(h, httpserver.Limits{}), ln, grace) }()
	return s, nil
}

// failed is sent the server's error when it ends by itself.
func (s *server) failed() <-chan error { return s.done }

func (s *server) close() error {
	s.stop()
	return <-s.done
}

// working is the error that ended the job or its sink, nil while both work.
func (m *monitor) working() error {
	select {
	case err := <-m.job.Done():
		m.job.Done() <- err
		return fmt.Errorf("the pipeline has ended: %w", errors.Join(err, errEnded))
	default:
	}
	_, _, err := clickhouseio.StatsOf(m.job.Sink)
	return err
}

var errEnded = errors.New("nothing is processed any more")

func (m *monitor) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := m.working(); err != nil {
		return err
	}
	// All of them are told: a full disk is why ClickHouse and the log take nothing.
	var errs []error
	if m.also != nil {
		errs = append(errs, m.also(ctx))
	}
	if s, _, _ := clickhouseio.StatsOf(m.job.Sink); s.Spill.Blocked != "" {
		errs = append(errs, fmt.Errorf("neither ClickHouse nor topic %q takes rows, so decisions wait: %s", s.Spill.Topic, s.Spill.Blocked))
	}
	if err := m.conn.Ping(ctx); err != nil && !m.job.Sink.Spill.Enabled() {
		errs = append(errs, fmt.Errorf("ClickHouse does not answer: %w", err))
	}
	return errors.Join(errs...)
}

// notes are lines for what is not as it should be, some of them empty.
func (m *monitor) notes() []string {
	out := []string{m.degraded(), m.job.reload.note()}
	if m.more != nil {
		out = append(out, m.more())
	}
	if m.trust != nil {
		out = append(out, m.trust().lines()...)
	}
	return out
}

// degraded says what is not as it should be and harms nobody yet; empty: nothing.
func (m *monitor) degraded() string {
	if _, err := m.job.Changelog(); err != nil {
		return fmt.Sprintf("degraded: no snapshot of the state could be written: %v", err)
	}
	if n := m.job.Unread(); n > 0 {
		return "degraded: " + unreadCheck(n).Message
	}
	if why := m.job.Partitioning(); why != "" {
		return "degraded: " + why
	}
	s, _, _ := clickhouseio.StatsOf(m.job.Sink)
	if s.Spill.Records == 0 {
		return ""
	}
	why := "ClickHouse is catching up"
	if s.Spill.Trouble != "" {
		why = "ClickHouse is away: " + s.Spill.Trouble
	}
	return fmt.Sprintf("degraded: %d rows (%d bytes) wait in topic %q, the oldest since %s; %s",
		s.Spill.Rows, s.Spill.Bytes, s.Spill.Topic, s.Spill.Oldest.UTC().Format(time.RFC3339), why)
}

// answer is 200, or 503 with the error, and notes, one a line, either way.
func answer(w http.ResponseWriter, err error, notes ...string) {
	text := "ok"
	if err != nil {
		text = err.Error()
	}
	for _, n := range notes {
		if n != "" {
			text += "\n" + n
		}
	}
	if err != nil {
		http.Error(w, text, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, text)
}

func (m *monitor) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	h, err := query.Health(ctx, m.conn, m.job.Site, m.job.thresholds())
	if err != nil {
		answer(w, err, m.notes()...)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if !h.OK {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	body := struct {
		*query.HealthData
		Identity *trustHealth `json:"identity,omitempty"`
	}{HealthData: h}
	if m.trust != nil {
		body.Identity = m.trust()
	}
	json.NewEncoder(w).Encode(body)
}
