package collect

import (
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	events   *prometheus.CounterVec
	warnings *prometheus.CounterVec
	body     *prometheus.CounterVec
	proofs   *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(to prometheus.Registerer, bodies *memory) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "microseg_collector_requests_total", Help: "Requests, by route and status."}, []string{"route", "code"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "microseg_collector_events_total",
			Help: "Events, by kind and outcome: accepted, bot (accepted, in no audience), no_consent and gpc (dropped), unauthorized, ignored, or a dead letter's reason."}, []string{"kind", "outcome"}),
		warnings: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "microseg_collector_event_warnings_total",
			Help: "Details of accepted events that could not be read and were left out, by property and reason."}, []string{"property", "reason"}),
		body: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "microseg_collector_body_bytes_total", Help: "Bytes of bodies, as sent and unpacked."}, []string{"form"}),
		proofs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "microseg_collector_proofs_total",
			Help: "Proofs of a userId, by verdict: good, wrong, expired, or form (neither an HMAC nor a JWT that is configured)."}, []string{"verdict"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "microseg_collector_request_seconds", Help: "From the request's head to its answer, the log's acknowledgement included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"route"}),
	}
	if to == nil {
		return m, nil
	}
	under := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "microseg_collector_in_flight_bytes", Help: "Bytes of bodies under way."},
		func() float64 { return float64(bodies.inUse()) })
	for _, c := range []prometheus.Collector{m.requests, m.events, m.warnings, m.body, m.proofs, m.seconds, under} {
		if err := to.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) event(kind, outcome string) {
	if kind == "" {
		kind = "other"
	}
	m.events.WithLabelValues(kind, outcome).Inc()
}

// warned counts what was left out of an event; properties and reasons are the decoder's.
func (m *metrics) warned(warnings []event.Warning) {
	for i := range warnings {
		m.warnings.WithLabelValues(warnings[i].Property, string(warnings[i].Why)).Inc()
	}
}

func (m *metrics) proof(verdict string) { m.proofs.WithLabelValues(verdict).Inc() }

func (m *metrics) bytes(form string, n int) { m.body.WithLabelValues(form).Add(float64(n)) }

// background logs what no client is told, once in a while: a log that is down
// fails every request.
type background struct{ last atomic.Int64 }

const quiet = 10 * time.Second

func (b *background) failed(err error) {
	now, last := time.Now().UnixNano(), b.last.Load()
	if now-last > int64(quiet) && b.last.CompareAndSwap(last, now) {
		slog.Error("collector: events were not acknowledged by the log; clients are told to try again", "err", err)
	}
}
