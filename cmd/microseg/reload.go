package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/prometheus/client_golang/prometheus"
)

// lookEvery is how often the configuration file is looked at. It is taken when
// two looks find the same, so within two of these: an editor may be writing it.
const lookEvery = 500 * time.Millisecond

// reloader takes over what changes in the configuration file while a process
// runs: when the file changes, and on SIGHUP.
type reloader struct {
	path    string // empty: the shipped configuration, which does not change
	started *config.Config
	take    func(*config.Config) error
	say     io.Writer

	mu      sync.Mutex
	refused error // why the file as it is was not taken
	taken   prometheus.Counter
	failed  prometheus.Counter
}

func newReloader(path string, started *config.Config, take func(*config.Config) error) *reloader {
	total := prometheus.CounterOpts{Name: "microseg_config_reloads_total", Help: "Configuration files read while running, by whether they were taken."}
	counter := func(outcome string) prometheus.Counter {
		total.ConstLabels = prometheus.Labels{"outcome": outcome}
		return prometheus.NewCounter(total)
	}
	return &reloader{path: path, started: started, take: take, say: os.Stderr, taken: counter("taken"), failed: counter("refused")}
}

// register adds the reloader's metrics.
func (r *reloader) register(to prometheus.Registerer) {
	to.MustRegister(r.taken, r.failed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "microseg_config_refused",
		Help: "1 while the configuration file differs from what runs, since it was not taken."}, func() float64 {
		if r.pending() != nil {
			return 1
		}
		return 0
	}))
}

// pending is why the configuration file as it is was not taken, nil if it was.
func (r *reloader) pending() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// note is a line for /healthz; empty: what runs is what the file says.
func (r *reloader) note() string {
	if r == nil {
		return ""
	}
	if err := r.pending(); err != nil {
		return fmt.Sprintf("degraded: %s was changed and is not what runs: %s", r.path, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return ""
}

// run looks at the file until the context ends.
func (r *reloader) run(ctx context.Context) {
	hangup := onHangup(ctx)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	taken := r.look()
	before := taken
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if r.path == "" {
				fmt.Fprintln(r.say, "microseg: got SIGHUP, but no configuration file was given (--config), so there is nothing to read again")
				continue
			}
			taken = r.look()
			before = taken
			r.reload()
		case <-tick.C:
			now := r.look()
			if now != taken && now == before {
				taken = now
				r.reload()
			}
			before = now
		}
	}
}

// look is a fingerprint of the file's content; one that cannot be read has its own.
func (r *reloader) look() [sha256.Size]byte {
	if r.path == "" {
		return [sha256.Size]byte{}
	}
	b, err := os.ReadFile(r.path)
	if err != nil {
		return [sha256.Size]byte{1}
	}
	return sha256.Sum256(b)
}

// reload takes the file or says why not; what runs then goes on as it is.
func (r *reloader) reload() {
	cfg, err := r.fit()
	if err == nil {
		err = r.take(cfg)
	}
	r.mu.Lock()
	r.refused = err
	r.mu.Unlock()
	if err != nil {
		r.failed.Inc()
		fmt.Fprintf(r.say, "microseg: %s was changed and is not taken; what runs goes on as it is:\n%v\n", r.path, err)
		return
	}
	r.taken.Inc()
	fmt.Fprintf(r.say, "microseg: %s is taken: rules, templates, titles and alert thresholds are as it says\n", r.path)
}

func (r *reloader) fit() (*config.Config, error) {
	cfg, err := config.Load(r.path)
	if err != nil {
		return nil, err
	}
	if p := cfg.Check(); len(p) > 0 {
		return nil, config.Problems(p)
	}
	if p := r.started.Unfit(cfg); len(p) > 0 {
		return nil, p
	}
	return cfg, nil
}
