package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/serving/store"
	"github.com/microseg/microseg/serving/throttle"
	"github.com/prometheus/client_golang/prometheus"
)

// Error is an answer that says what is wrong with a request.
type Error struct {
	Status  int
	Message string
}

func (e *Error) Error() string { return e.Message }

func bad(message string) error { return &Error{http.StatusBadRequest, message} }

// retryAfter is what a client that is turned away should wait, in seconds.
const retryAfter = "2"

func refuse(w http.ResponseWriter, e *Error) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests {
		h.Set("Retry-After", retryAfter)
	}
	w.WriteHeader(e.Status)
	json.NewEncoder(w).Encode(map[string]string{"error": e.Message})
}

// answer sends a value as JSON.
func answer(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	send(w, append(b, '\n'))
	return nil
}

// send sends JSON. Whoever does not take it has gone.
func send(w http.ResponseWriter, b []byte) {
	w.Header()["Content-Type"] = headerJSON
	w.Write(b)
}

type metrics struct {
	requests *prometheus.CounterVec
	respond  *prometheus.HistogramVec
	answers  *latency.Minutes // of all routes
	streams  prometheus.Gauge
	wins     *prometheus.CounterVec
	refused  *prometheus.CounterVec // by limit
}

func newMetrics(to prometheus.Registerer, st *store.Store) (*metrics, error) {
	buckets := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}
	refused, err := throttle.NewRefusals(to)
	if err != nil {
		return nil, err
	}
	m := &metrics{
		refused:  refused,
		answers:  &latency.Minutes{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "microseg_api_requests_total", Help: "Requests, by route and status."}, []string{"route", "code"}),
		respond:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "microseg_respond_seconds", Help: "From the request to its answer, by route.", Buckets: buckets}, []string{"route"}),
		streams:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "microseg_streams", Help: "Pages that listen for changes."}),
		wins:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "microseg_rule_wins_total", Help: "Slots won, by rule."}, []string{"slot", "rule"}),
	}
	if to == nil {
		return m, nil
	}
	all := []prometheus.Collector{m.requests, m.respond, m.streams, m.wins}
	if st != nil {
		gauge := func(name, help string, f func(store.Stats) float64) {
			all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return f(st.Stats()) }))
		}
		gauge("microseg_store_profiles", "Records in memory.", func(s store.Stats) float64 { return float64(s.Profiles) })
		gauge("microseg_store_lag_records", "Records of the topic that are not yet read.", func(s store.Stats) float64 { return float64(s.Lag) })
		gauge("microseg_store_quiet_seconds", "Time since the log last answered.", func(s store.Stats) float64 { return s.Quiet.Seconds() })
		gauge("microseg_store_evicted_total", "Records that were let go of for want of room.", func(s store.Stats) float64 { return float64(s.Evicted) })
		gauge("microseg_store_unreadable_total", "Records that could not be read.", func(s store.Stats) float64 { return float64(s.Corrupted) })
		for _, q := range []float64{0.5, 0.95, 0.99} {
			all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "microseg_deliver_seconds", Help: "From a decision to this node's memory.",
				ConstLabels: prometheus.Labels{"quantile": strconv.FormatFloat(q, 'g', -1, 64)}}, func() float64 { return st.Deliver().Read().Quantile(q) / 1000 }))
		}
	}
	for _, c := range all {
		if err := to.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// routeMetrics are those of one route.
type routeMetrics struct {
	requests *prometheus.CounterVec // by code
	ok       prometheus.Counter
	respond  prometheus.Observer // nil: of a stream
	answers  *latency.Minutes    // of all routes
}

func (m *metrics) of(route string) *routeMetrics {
	r := &routeMetrics{answers: m.answers, requests: m.requests.MustCurryWith(prometheus.Labels{"route": route})}
	r.ok = r.requests.WithLabelValues(strconv.Itoa(http.StatusOK))
	if route != "/api/stream" {
		r.respond = m.respond.WithLabelValues(route)
	}
	return r
}

func (m *routeMetrics) answered(status int, now time.Time, took time.Duration) {
	if status == http.StatusOK {
		m.ok.Inc()
	} else {
		m.requests.WithLabelValues(strconv.Itoa(status)).Inc()
	}
	if m.respond != nil {
		m.respond.Observe(took.Seconds())
		m.answers.Observe(now, took)
	}
}
