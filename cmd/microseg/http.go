package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/microseg/microseg/transforms"
	"github.com/prometheus/client_golang/prometheus"
)

// monitor tells how a job is.
type monitor struct {
	job   *job
	also  func(context.Context) error // what else must be ready; nil: nothing
	more  func() string               // what else is degraded; nil: nothing
	trust func() *trustHealth         // what a collector beside it saw; nil: none is
	conn  driver.Conn
	// busyAfter is for how long a batch may be under way before the job is not ready.
	busyAfter time.Duration
}

// newMonitor connects to the record; close it.
func newMonitor(j *job) (*monitor, error) {
	conn, err := clickhouseio.Dial(j.Sink.DSN)
	if err != nil {
		return nil, err
	}
	return &monitor{job: j, conn: conn, busyAfter: busyAfter}, nil
}

// probes of the job, with the metrics of the registry.
func (m *monitor) probes(r *prometheus.Registry) *probes {
	return &probes{live: m.working, ready: m.ready, notes: m.notes, health: m.health, metrics: r}
}

// monitoring is a job's own listeners: public, if there is one, and the admin's.
type monitoring struct {
	*monitor
	public, admin *server
}

// startMonitor listens until close; addresses are host:port, with port 0 for a free one.
func startMonitor(j *job, r *prometheus.Registry, public, admin string) (*monitoring, error) {
	m, err := newMonitor(j)
	if err != nil {
		return nil, err
	}
	out, p := &monitoring{monitor: m}, m.probes(r)
	mux := http.NewServeMux()
	p.admin(mux)
	if out.admin, err = listenAdmin(admin, mux); err != nil {
		return nil, errors.Join(err, m.conn.Close())
	}
	if public != "" {
		mux := http.NewServeMux()
		p.public(mux)
		if out.public, err = listen(public, mux, httpserver.Limits{}); err != nil {
			return nil, errors.Join(err, out.close())
		}
	}
	return out, nil
}

func (m *monitoring) close() error {
	err := m.admin.close()
	if m.public != nil {
		err = errors.Join(err, m.public.close())
	}
	return errors.Join(err, m.conn.Close())
}

// server is a listening HTTP server.
type server struct {
	addr string
	stop context.CancelFunc
	done chan error
}

// https is the certificate of the process's public listener; nil: it has no TLS.
var https atomic.Pointer[httpserver.Certificates]

// scheme of the public listener's address.
func scheme() string {
	if https.Load() == nil {
		return "http"
	}
	return "https"
}

// grace is for how long requests may finish when a server stops.
const grace = 5 * time.Second

// listen serves on addr until close, for whoever reaches it.
func listen(addr string, h http.Handler, l httpserver.Limits) (*server, error) {
	certs, err := httpserver.ReadCertificates()
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening for HTTP: %w", err)
	}
	https.Store(certs)
	return serve(certs.Listen(ln), h, l), nil
}

// listenAdmin serves the admin's routes on addr until close.
func listenAdmin(addr string, h http.Handler) (*server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening for the admin (--admin-http): %w", err)
	}
	return serve(ln, httpserver.LocalHost(h, ln.Addr().String()), httpserver.Limits{Connections: adminConnections, Share: 1}), nil
}

// adminConnections are few, and any address may have all of them: a shop's own servers and
// Prometheus, which the public's connections leave room for.
const adminConnections = 128

func serve(ln net.Listener, h http.Handler, l httpserver.Limits) *server {
	ctx, stop := context.WithCancel(context.Background())
	s := &server{addr: ln.Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() { s.done <- httpserver.Run(ctx, httpserver.New(h, l), ln, grace) }()
	return s
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
	_, _, err := clickhouseio.StatsOf(m.job.Engine(), m.job.Sink)
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
	if s, _, _ := clickhouseio.StatsOf(m.job.Engine(), m.job.Sink); s.Spill.Blocked != "" {
		errs = append(errs, fmt.Errorf("neither ClickHouse nor topic %q takes rows, so decisions wait: %s", s.Spill.Topic, s.Spill.Blocked))
	}
	if c := busyCheck(m.job.Engine(), m.busyAfter); !c.OK {
		errs = append(errs, errors.New(c.Message))
	}
	if err := m.conn.Ping(ctx); err != nil && !m.job.Sink.Spill.Enabled() {
		errs = append(errs, fmt.Errorf("ClickHouse does not answer: %w", err))
	}
	return errors.Join(errs...)
}

// notes are lines for what is not as it should be, some of them empty.
func (m *monitor) notes() []string {
	s := transforms.StatsOf(m.job.Engine())
	out := []string{m.degraded(), m.job.lock.note(), m.job.reload.note(), fullState(&s, m.job.Spec.MaxState)}
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
	s, _, _ := clickhouseio.StatsOf(m.job.Engine(), m.job.Sink)
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

func (m *monitor) health(ctx context.Context) *report {
	h, err := query.Health(ctx, m.conn, m.job.Site, m.job.thresholds())
	if err != nil {
		return &report{err: err}
	}
	if c := busyCheck(m.job.Engine(), m.busyAfter); !c.OK {
		h.Checks, h.OK = append(h.Checks, c), false
	}
	if c := m.job.lock.check(); !c.OK {
		h.Checks, h.OK = append(h.Checks, c), false
	}
	body := struct {
		*query.HealthData
		Identity *trustHealth `json:"identity,omitempty"`
		State    *stateHealth `json:"state"`
	}{HealthData: h}
	s := transforms.StatsOf(m.job.Engine())
	body.State = newStateHealth(&s, m.job.Spec.MaxState)
	if m.trust != nil {
		body.Identity = m.trust()
	}
	b, err := json.Marshal(body)
	return &report{body: append(b, '\n'), ok: h.OK, err: err}
}
