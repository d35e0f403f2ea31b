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
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// monitor serves a job's health and metrics:
//
//	/healthz  200 while the pipeline and its sink work
//	/readyz   200 while ClickHouse answers, too
//	/health   the verdict of `microseg health` as JSON, 503 when a check fails
//	/metrics  Prometheus
type monitor struct {
	job  *job
	conn driver.Conn
	srv  *http.Server
	addr string
}

// startMonitor listens on addr (host:port, port 0 for a free one) until close.
func startMonitor(j *job, addr string) (*monitor, error) {
	conn, err := clickhouseio.Dial(j.Sink.DSN)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("listening for health checks: %w", err)
	}
	m := &monitor{job: j, conn: conn, addr: ln.Addr().String()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", m.live)
	mux.HandleFunc("GET /readyz", m.ready)
	mux.HandleFunc("GET /health", m.health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(newRegistry(j), promhttp.HandlerOpts{}))
	m.srv = &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute}
	go m.srv.Serve(ln)
	return m, nil
}

func (m *monitor) close() error {
	return errors.Join(m.srv.Close(), m.conn.Close())
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

func (m *monitor) live(w http.ResponseWriter, _ *http.Request) { answer(w, m.working()) }

func (m *monitor) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	err := m.working()
	if err == nil {
		if err = m.conn.Ping(ctx); err != nil {
			err = fmt.Errorf("ClickHouse does not answer: %w", err)
		}
	}
	answer(w, err)
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (m *monitor) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	h, err := query.Health(ctx, m.conn, m.job.Site, thresholds(m.job.Config))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if !h.OK {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(h)
}
