package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/sinks/redisio"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

func redisCommand(cfg *string) *cobra.Command {
	var brokers, topic, addr, prefix, public, adminAt string
	c := &cobra.Command{
		Use:   "redis",
		Short: "Keep every visitor's segment in Redis, for sites that look up there",
		Long: `redis follows the topic of segments and keeps each record as JSON in Redis, under
<prefix>:d:<anonymousId> or <prefix>:u:<userId>; <prefix>:a: says which segments are
served. It reads the topic from the beginning at each start: what is in Redis
already stays, the newest record wins, and several may run at once.`,
		Example: "  microseg redis --brokers kafka:9092 --redis redis:6379\n  redis-cli GET microseg:d:1f0c…",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := config.Load(*cfg)
			if err != nil {
				return err
			}
			if brokers == "" || addr == "" {
				return errors.New("give the log's --brokers and the address of --redis")
			}
			err = runRedis(c.Context(), conf, cli.Split(brokers), topic, redisio.Config{Addr: addr, Prefix: prefix, TTL: conf.Retention}, public, adminAt)
			return named(c.Context(), "redis", cli.Split(brokers), topicsOfJob{topic, topic}, err)
		},
	}
	f := c.Flags()
	f.StringVar(&brokers, "brokers", "", "brokers of the log, host:port[,host:port]")
	f.StringVar(&topic, "topic", "events", "topic of events; that of segments has its name, too")
	f.StringVar(&addr, "redis", "", "Redis, host:port")
	f.StringVar(&prefix, "prefix", "microseg", "of the keys, before a colon")
	f.StringVar(&public, "http", "", "serve /livez and /readyz here, without details, e.g. :8080")
	f.StringVar(&adminAt, "admin-http", localAdmin, "serve /metrics, and /livez and /readyz with details here")
	return c
}

func runRedis(ctx context.Context, cfg *config.Config, brokers []string, topic string, to redisio.Config, public, adminAt string) error {
	tree, err := cfg.SegmentTree()
	if err != nil {
		return err
	}
	rules, err := cfg.RuleSet(tree)
	if err != nil {
		return err
	}
	at := topicsOfJob{topic, topic}
	if at.source, err = sourceTopic(ctx, cfg, brokers, topic); err != nil {
		return err
	}
	topic = at.source
	w, err := redisio.Open(to)
	if err != nil {
		return err
	}
	if err := w.Try(ctx); clients.Stays(err) { // one that is away is waited for
		return err
	}
	schema := segment.NewSchema(cfg.Elements)
	f := redisio.NewFollower(redisio.Source{Brokers: brokers, Topic: segmentsio.Topic(topic), Stored: len(schema.Stored()),
		Features: schema.Published(tree.Slots(rules.Stored())), Params: cfg.SegmentParams(), Exempt: exempt(tree, cfg.Activation(tree)), Pointers: cfg.Unchecked()}, w)
	p, mux := redisProbes(f, w), http.NewServeMux()
	lock := watchLock(ctx, "redis", brokers, at)
	p.notes = func() []string { return []string{lock.note()} }
	p.admin(mux)
	srv, err := listenAdmin(adminAt, mux)
	if err != nil {
		return err
	}
	defer srv.close()
	if public != "" {
		mux := http.NewServeMux()
		p.public(mux)
		srv, err := listen(public, mux, httpserver.Limits{})
		if err != nil {
			return err
		}
		defer srv.close()
	}
	fmt.Fprintf(os.Stderr, "following topic %s into Redis at %s; metrics: http://%s/metrics\n", segmentsio.Topic(topic), to.Addr, srv.addr)
	run, stop := context.WithCancel(ctx)
	defer stop()
	go tell(run, f, w)
	err = named(ctx, "redis", brokers, at, f.Run(ctx))
	end, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	return errors.Join(err, w.Close(end))
}

// exempt are the paths of the nodes that need no audience.
func exempt(tree *segment.Tree, a *segment.Activation) (out []string) {
	for n, on := range a.Exempt {
		if on {
			out = append(out, tree.Path(n))
		}
	}
	return out
}

// tell writes a line a minute.
func tell(ctx context.Context, f *redisio.Follower, w *redisio.Writer) {
	for every := time.NewTicker(time.Minute); ; {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			n, bad := f.Copied()
			fmt.Fprintf(os.Stderr, "%d records copied, %d unreadable, %d wait; last error: %v\n", n, bad, w.Waiting(), w.Err())
		}
	}
}

func redisProbes(f *redisio.Follower, w *redisio.Writer) *probes {
	r := processRegistry()
	counter := func(name, help string, v func() float64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, v))
	}
	counter("microseg_redis_records_total", "Records handed to Redis.", func() float64 { n, _ := f.Copied(); return float64(n) })
	counter("microseg_redis_unreadable_total", "Records that could not be read.", func() float64 { _, n := f.Copied(); return float64(n) })
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "microseg_redis_waiting", Help: "Records that Redis does not have yet."}, func() float64 { return float64(w.Waiting()) }))
	return &probes{live: works, ready: func(context.Context) error { return w.Err() }, metrics: r}
}
