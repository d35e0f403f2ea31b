package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/singleflight"
)

// localAdmin is where the admin listener is unless told otherwise: a free port of this
// machine alone.
const localAdmin = "127.0.0.1:0"

// probes tell how a process is:
//
//	/livez    200 while it works
//	/readyz   200 while it does what it is there for
//	/health   the details as JSON, 503 when a check fails
//	/metrics  Prometheus
//
// Everybody may ask the first two, and is told a word; on the admin listener they say
// what is wrong, and what is degraded.
type probes struct {
	live    func() error
	ready   func(context.Context) error
	notes   func() []string // what is not as it should be, some of them empty; nil: nothing
	health  func(context.Context) *report
	metrics *prometheus.Registry
}

// report is an answer of /health: JSON, or an error.
type report struct {
	body []byte
	ok   bool
	err  error
}

// How long an answer serves all who ask. Behind it are questions to the log and to
// ClickHouse, which nobody may have asked as often as he likes.
const (
	readyFor  = time.Second
	healthFor = 5 * time.Second
	askFor    = 10 * time.Second // for so long
)

// public adds what everybody may know. /healthz is what /livez was called.
func (p *probes) public(mux *http.ServeMux) {
	ready := p.asked()
	live := func(w http.ResponseWriter, _ *http.Request) { answer(w, brief(p.live(), "this process does not work")) }
	mux.HandleFunc("GET /livez", live)
	mux.HandleFunc("GET /healthz", live)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, brief(ready.get(r.Context()), "not ready"))
	})
}

// admin adds the details.
func (p *probes) admin(mux *http.ServeMux) {
	ready := p.asked()
	notes := func() []string {
		out := []string{https.Load().Trouble()}
		if p.notes != nil {
			out = append(out, p.notes()...)
		}
		return out
	}
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, p.live(), notes()...) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answer(w, ready.get(r.Context()), notes()...) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{}))
	if p.health == nil {
		return
	}
	health := &kept[*report]{every: healthFor, ask: p.health, late: func(err error) *report { return &report{err: err} }}
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		h := health.get(r.Context())
		if h.err != nil {
			answer(w, h.err, notes()...)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !h.ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		w.Write(h.body)
	})
}

func (p *probes) asked() *kept[error] {
	return &kept[error]{every: readyFor, ask: p.ready, late: func(err error) error { return err }}
}

// brief is an error without its details.
func brief(err error, text string) error {
	if err == nil {
		return nil
	}
	return errors.New(text)
}

// answer is 200, or 503 with the error, and notes, one a line, either way.
func answer(w http.ResponseWriter, err error, notes ...string) {
	text := "ok"
	if err != nil {
		text = kafka.Explain(err).Error()
	}
	for _, n := range notes {
		if n != "" {
			text += "\n" + n
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		http.Error(w, text, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, text)
}

// kept asks once for all who want to know within a while. Who goes away before the
// answer is there takes it from nobody.
type kept[T any] struct {
	every time.Duration
	ask   func(context.Context) T
	late  func(error) T // the answer of who does not wait
	one   singleflight.Group
	at    time.Time // of the value; of the one that asks
	value T
}

func (k *kept[T]) get(ctx context.Context) T {
	c := k.one.DoChan("", func() (any, error) {
		if k.at.IsZero() || time.Since(k.at) >= k.every {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor)
			defer cancel()
			k.value = k.ask(ctx)
			k.at = time.Now()
		}
		return k.value, nil
	})
	select {
	case r := <-c:
		out, _ := r.Val.(T) // a nil error is no T
		return out
	case <-ctx.Done():
		return k.late(ctx.Err())
	}
}
