package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/measure/usage"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/sinks/redisio"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/microseg/microseg/web"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

func serveCommand(cfg *string) *cobra.Command {
	var brokers, topic, site, public, adminAt, dsn, redis, prefix, profile string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a serving node: collector, segments, rules, fragments, microseg.js",
		Long: `serve collects events from pages into the log, follows the topic of segments in
memory, and answers pages, edges and the site's servers. Nodes have no state of
their own: add and remove them behind any load balancer.

` + node.EnvTokenKeys + ` (id:hex[,id:hex], the newest first) signs what visitors are served; all
nodes and edges share it. ` + node.EnvAdminKey + ` is the bearer of the site's own servers. What acts on
persons (/v1/profiles, /v1/identity/unlink, /v1/identity/token), /health and /metrics are
answered at --admin-http alone: let your own network reach it, and nobody else.`,
		Example: "  " + node.EnvTokenKeys + "=k1:$(openssl rand -hex 32) microseg serve --brokers kafka:9092 --http :8080 --admin-http 10.0.0.5:9090",
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
			stop, err := usage.StartProfile(profile)
			if err != nil {
				return err
			}
			defer stop()
			source, err := sourceTopic(c.Context(), conf, cli.Split(brokers), topic)
			if err == nil {
				err = runServe(c.Context(), *cfg, conf, node.Options{Brokers: cli.Split(brokers), Events: source, Inbox: topic, Segments: segmentsio.Topic(source), Site: site}, public, adminAt, dsn, redisio.Config{Addr: redis, Prefix: prefix, TTL: conf.Retention})
			} else {
				source = topic
			}
			return named(c.Context(), "node", cli.Split(brokers), topicsOfJob{topic, source}, err)
		},
	}
	f := c.Flags()
	f.StringVar(&brokers, "brokers", "", "brokers of the log, host:port[,host:port]")
	f.StringVar(&topic, "topic", "events", "topic of events; that of segments has its name, too")
	f.StringVar(&site, "site", "", "site id that tokens are good for (default: the configuration's)")
	f.StringVar(&dsn, "dsn", "", "ClickHouse, for the node's latencies, and to export and delete persons there, too: clickhouse://user:password@host:9000/database")
	f.StringVar(&redis, "redis", "", "Redis that \"microseg redis\" fills, host:port, to delete persons there, too")
	f.StringVar(&prefix, "redis-prefix", "microseg", "of its keys")
	f.StringVar(&public, "http", "127.0.0.1:8080", "address for pages, edges and the site's servers")
	f.StringVar(&adminAt, "admin-http", localAdmin, "address for the admin: persons, /health, /metrics; port 0 is a free one")
	f.StringVar(&profile, "cpuprofile", "", "write a CPU profile of the node to this file (go tool pprof)")
	return c
}

func runServe(ctx context.Context, path string, cfg *config.Config, o node.Options, public, adminAt, dsn string, redis redisio.Config) error {
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
	p := nodeProbes(n, registry, func() *trustHealth { return newTrustHealth(cfg, n.Collector.Identified(), n.Collector.Notes()...) },
		reload.note, measured.note, watchLock(ctx, "node", o.Brokers, topicsOfJob{o.Inbox, o.Events}).note, persons.watchRedis(ctx).note)
	srv, admins, err := listenNode(n, persons, p, public, adminAt, web.RegisterScript)
	if err != nil {
		return errors.Join(err, measured.close(), persons.close(), n.Close(ctx))
	}
	fmt.Fprintf(os.Stderr, "admin, health and metrics on http://%s\nserving on %s://%s (segments: topic %s)\n", admins.addr, scheme(), srv.addr, o.Segments)
	select {
	case <-ctx.Done():
	case err = <-srv.failed():
		srv.done <- err
	case err = <-admins.failed():
		admins.done <- err
	}
	n.EndStreams()
	end, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	return errors.Join(srv.close(), admins.close(), measured.close(), persons.close(), n.Close(end))
}

// listenNode starts a node's two listeners: that of everybody, with pages beside it, and the admin's.
func listenNode(n *node.Node, who *persons, p *probes, public, adminAt string, pages func(*http.ServeMux)) (srv, admins *server, err error) {
	mux, inner := http.NewServeMux(), http.NewServeMux()
	n.Register(mux)
	pages(mux)
	p.public(mux)
	n.RegisterAnswers(inner)
	who.Register(inner)
	p.admin(inner)
	limits, err := n.Limits()
	if err != nil {
		return nil, nil, err
	}
	if admins, err = listenAdmin(adminAt, inner); err != nil {
		return nil, nil, err
	}
	if srv, err = listen(public, mux, limits); err != nil {
		return nil, nil, errors.Join(err, admins.close())
	}
	return srv, admins, nil
}

// nodeProbes tell how a node is, and what it says of its identities and clients.
func nodeProbes(n *node.Node, r *prometheus.Registry, trust func() *trustHealth, notes ...func() string) *probes {
	return &probes{live: works, ready: n.Ready, metrics: r,
		notes: func() []string {
			out := trust().lines()
			for _, note := range notes {
				out = append(out, note())
			}
			return out
		},
		health: func(context.Context) *report {
			b, err := json.Marshal(map[string]*trustHealth{"identity": trust()})
			return &report{body: append(b, '\n'), ok: true, err: err}
		}}
}

// works is the answer of a process that would not answer if it did not work.
func works() error { return nil }

// warn tells of what `microseg check` would refuse; a node serves all the same,
// since which rule wins is settled whatever overlaps.
func warn(cfg *config.Config) {
	for _, p := range cfg.Check() {
		slog.Warn("the configuration has a problem; see `microseg check`", "problem", p)
	}
}
