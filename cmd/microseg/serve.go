package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/sinks/redisio"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/microseg/microseg/web"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
)

func serveCommand(cfg *string) *cobra.Command {
	var brokers, topic, site, addr, dsn, redis, prefix, profile string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a serving node: collector, segments, rules, fragments, microseg.js",
		Long: `serve collects events from pages into the log, follows the topic of segments in
memory, and answers pages, edges and the site's servers. Nodes have no state of
their own: add and remove them behind any load balancer.

` + node.EnvTokenKeys + ` (id:hex[,id:hex], the newest first) signs what visitors are served; all
nodes and edges share it. ` + node.EnvAdminKey + ` is the bearer of the site's own servers.`,
		Example: "  " + node.EnvTokenKeys + "=k1:$(openssl rand -hex 32) microseg serve --brokers kafka:9092 --http :8080",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := config.Load(*cfg)
			if err != nil {
				return err
			}
			if brokers == "" {
				return errors.New("a node needs --brokers; `microseg up` brings its own")
			}
			if site == "" {
				site = conf.Site
			}
			stop, err := startProfile(profile)
			if err != nil {
				return err
			}
			defer stop()
			source, err := sourceTopic(c.Context(), conf, split(brokers), topic)
			if err != nil {
				return err
			}
			return runServe(c.Context(), *cfg, conf, node.Options{Brokers: split(brokers), Events: source, Inbox: topic, Segments: segmentsio.Topic(source), Site: site}, addr, dsn, redisio.Config{Addr: redis, Prefix: prefix, TTL: conf.Retention})
		},
	}
	f := c.Flags()
	f.StringVar(&brokers, "brokers", "", "brokers of the log, host:port[,host:port]")
	f.StringVar(&topic, "topic", "events", "topic of events; that of segments has its name, too")
	f.StringVar(&site, "site", "", "site id that tokens are good for (default: the configuration's)")
	f.StringVar(&dsn, "dsn", "", "ClickHouse, for the node's latencies, and to export and delete persons there, too: clickhouse://user:password@host:9000/database")
	f.StringVar(&redis, "redis", "", "Redis that `microseg redis` fills, host:port, to delete persons there, too")
	f.StringVar(&prefix, "redis-prefix", "microseg", "of its keys")
	f.StringVar(&addr, "http", "127.0.0.1:8080", "address to listen on")
	f.StringVar(&profile, "cpuprofile", "", "write a CPU profile of the node to this file (go tool pprof)")
	return c
}

func runServe(ctx context.Context, path string, cfg *config.Config, o node.Options, addr, dsn string, redis redisio.Config) error {
	var err error
	if o.Secrets, err = node.SecretsFromEnv(); err != nil {
		return err
	}
	warn(cfg)
	warnTrust(cfg, true)
	stop := tuneGC(ctx)
	defer stop()
	registry := processRegistry()
	o.Metrics = registry
	n, err := node.Open(ctx, cfg, o)
	if err != nil {
		return err
	}
	persons, err := openPersons(ctx, cfg, o, n, dsn, redis)
	if err != nil {
		return errors.Join(err, n.Close(ctx))
	}
	measured, err := measure(n, o.Site, dsn, registry)
	if err != nil {
		return errors.Join(err, persons.close(), n.Close(ctx))
	}
	reload := newReloader(path, cfg, n.Reload)
	reload.register(registry)
	go reload.run(ctx)
	mux := http.NewServeMux()
	n.Register(mux)
	persons.Register(mux)
	web.RegisterScript(mux)
	trust := func() *trustHealth { return newTrustHealth(cfg, n.Collector.Identified(), n.Collector.Notes()...) }
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, nil, append(trust().lines(), reload.note(), measured.note())...)
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]*trustHealth{"identity": trust()})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, n.Ready(r.Context()), reload.note(), measured.note())
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	srv, err := listen(addr, mux)
	if err != nil {
		return errors.Join(err, measured.close(), persons.close(), n.Close(ctx))
	}
	fmt.Fprintf(os.Stderr, "serving on http://%s (segments: topic %s)\n", srv.addr, o.Segments)
	select {
	case <-ctx.Done():
	case err = <-srv.failed():
		srv.done <- err
	}
	n.EndStreams()
	end, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	return errors.Join(srv.close(), measured.close(), persons.close(), n.Close(end))
}

// warn tells of what `microseg check` would refuse; a node serves all the same,
// since which rule wins is settled whatever overlaps.
func warn(cfg *config.Config) {
	for _, p := range cfg.Check() {
		slog.Warn("the configuration has a problem; see `microseg check`", "problem", p)
	}
}
