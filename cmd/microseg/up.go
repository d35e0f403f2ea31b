package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/embedded/stack"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/sinks/redisio"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/web"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

func upCommand(cfg *string) *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Keep log, ClickHouse, pipeline, serving node and demo shop running until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.config, o.stated = *cfg, c.Flags().Changed("visitors")
			return runUp(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.dir, "dir", upDir, "folder for the log's and ClickHouse's data, and addresses.json")
	f.StringVar(&o.topic, "topic", "events", "topic to read; made when missing")
	o.ports.Flags(f)
	f.StringVar(&o.ports.Admin, "admin-http", localAdmin, "address of persons, /health and /metrics, host:port; port 0 is a free one")
	f.BoolVar(&o.clean, "clean", false, "forget what the log holds, and what ClickHouse holds of the site")
	f.StringVar(&o.yes, "yes", "", "with --clean and a ClickHouse of your own: the site whose rows may be deleted")
	f.IntVar(&o.visitors, "visitors", defaultVisitors, "simulated visitors in the background, in the demo's site alone; their ids begin with sim-; 0: none")
	f.BoolVar(&o.rebuild, "rebuild", false, "make the state anew from the log, instead of going on from the changelog")
	return c
}

type upOptions struct {
	dir, topic     string
	ports          stack.Ports
	clean, rebuild bool
	visitors       int    // simulated ones
	stated         bool   // so many were asked for
	config         string // its path; empty: the shipped one
	yes            string // the site that --clean may clear in a ClickHouse that is not embedded
}

func runUp(ctx context.Context, o upOptions) error {
	cfg, err := config.LoadDemo(o.config)
	if err != nil {
		return err
	}
	if err := mayClear(cfg.Site, o); err != nil {
		return err
	}
	if o.visitors, err = wanted(cfg, o.visitors, o.stated); err != nil {
		return err
	}
	st, err := stack.Start(ctx, stack.Options{Dir: o.dir, Ports: o.ports, Clean: o.clean, MinFree: cfg.Storage.MinFree, Messages: os.Stderr})
	if err != nil {
		return err
	}
	defer st.Close()
	if o.clean {
		if err := clearSite(ctx, st.ClickHouse.DSN(), cfg.Site); err != nil {
			return err
		}
	}
	if err := kafkalog.CreateTopic(ctx, st.Log.Brokers(), o.topic, 8); err != nil {
		return err
	}
	j, err := newJob(ctx, cfg, st.Log.Brokers(), o.topic, cfg.Site, st.ClickHouse.DSN())
	if err != nil {
		return err
	}
	if err := j.start(ctx, o.rebuild); err != nil {
		return err
	}
	site, err := openSite(ctx, j, cfg, st, o)
	if err != nil {
		return err
	}
	defer site.close()
	a := st.Addresses(cfg.Site, o.topic)
	a.HTTP, a.AdminHTTP, a.AdminKey = site.srv.addr, site.admins.addr, filepath.Join(o.dir, "admin.key")
	if err := st.WriteAddresses(a); err != nil {
		return err
	}
	fmt.Printf(`shop               http://%[1]s/
collector          http://%[1]s/v1 (write key %[2]s)
segments           curl -d '{"anonymousId": "..."}' http://%[1]s/api/segment
health, metrics    http://%[9]s/health, /metrics
kafka              %[3]s (topics %[4]s, %[5]s)
clickhouse native  %[6]s
clickhouse http    %[7]s
admin key          %[8]s
`, a.HTTP, cfg.Collector.WriteKeys[0], a.Kafka, o.topic, j.Segments.Topic, a.ClickHouseNative, a.ClickHouseHTTP, a.AdminKey, a.AdminHTTP)
	if o.config == "" {
		fmt.Println("identity           off: the demo's visitors may say who they are without proof (a site of your own: docs/identity.md)")
	}
	if o.visitors > 0 {
		fmt.Printf("visitors           %d simulated ones, whose ids begin with sim- (--visitors 0: none)\n", o.visitors)
		crowded, stop := context.WithCancel(ctx)
		defer stop()
		go newCrowd(cfg, a.HTTP, o.visitors).run(crowded)
	}
	return j.serve(ctx)
}

// site is what answers over HTTP while a stack runs: node, shop, health.
type site struct {
	node *node.Node
	pers *persons
	lat  *measurements
	mon  *monitor
	srv  *server
	// admins is the admin listener.
	admins *server
}

func openSite(ctx context.Context, j *job, cfg *config.Config, st *stack.Stack, o upOptions) (*site, error) {
	secrets, err := node.LocalSecrets(o.dir)
	if err != nil {
		return nil, err
	}
	s := &site{}
	if s.mon, err = newMonitor(j); err != nil {
		return nil, err
	}
	registry := newRegistry(j)
	opts := node.Options{Brokers: st.Log.Brokers(), Events: j.Source.Topic, Inbox: o.topic, Segments: j.Segments.Topic, Site: j.Site, Secrets: secrets, Metrics: registry,
		Undecided: func(ends map[int32]int64) int { return kafkaio.Undecided(j.Engine(), ends) }}
	if s.node, err = node.Open(ctx, cfg, opts); err != nil {
		s.mon.conn.Close()
		return nil, err
	}
	if s.pers, err = openPersons(ctx, cfg, opts, s.node, j.Sink.DSN, redisio.Config{}); err != nil {
		return nil, errors.Join(err, s.node.Close(ctx), s.mon.conn.Close())
	}
	if s.lat, err = measure(s.node, j.Site, j.Sink.DSN, registry); err != nil {
		return nil, errors.Join(err, s.pers.close(), s.node.Close(ctx), s.mon.conn.Close())
	}
	s.mon.more = s.lat.note
	s.mon.also = func(ctx context.Context) error {
		if err := st.Space.Err(); err != nil {
			return err
		}
		return s.node.Ready(ctx)
	}
	j.watch(ctx, o.config, registry, s.node.Reload)
	warn(cfg)
	warnTrust(cfg, true)
	s.mon.trust = func() *trustHealth {
		return newTrustHealth(cfg, s.node.Collector.Identified(), s.node.Collector.Notes()...)
	}
	if err := s.listen(registry, o.ports); err != nil {
		return nil, errors.Join(err, s.lat.close(), s.pers.close(), s.node.Close(ctx), s.mon.conn.Close())
	}
	return s, nil
}

func (s *site) listen(registry *prometheus.Registry, at stack.Ports) (err error) {
	if c, err := httpserver.ReadCertificates(); c != nil || err != nil {
		return fmt.Errorf("`up` is for one machine and has no HTTPS; unset %s and %s", httpserver.HTTP.Variable("CERT_FILE"), httpserver.HTTP.Variable("KEY_FILE"))
	}
	s.srv, s.admins, err = listenNode(s.node, s.pers, s.mon.probes(registry), fmt.Sprintf("127.0.0.1:%d", at.HTTP), at.Admin, web.Register)
	return err
}

func (s *site) close() error {
	s.node.EndStreams()
	err := errors.Join(s.srv.close(), s.admins.close())
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	return errors.Join(err, s.lat.close(), s.pers.close(), s.node.Close(ctx), s.mon.conn.Close())
}

// serve watches the job's health until the context ends or the pipeline does.
func (j *job) serve(ctx context.Context) error {
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	go j.watchHealth(watch, 10*time.Second)
	select {
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr, "stopping: draining the pipeline and recording what it decided")
		return j.Stop()
	case err := <-j.Done():
		j.Done() <- err
		if err == nil {
			err = fmt.Errorf("the pipeline ended by itself")
		}
		return err
	}
}
