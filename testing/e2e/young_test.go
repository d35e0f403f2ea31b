package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/microseg/microseg/testing/harness/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestYoungSite: a visitor of a site that nobody has visited before. The partitions
// that never had a record held time at 1970: nobody's idle cart was abandoned, no
// audience was decided, and health said that all was well. Then the topic gets
// partitions: the job says so, goes on with those that it has, and takes them in at
// its next start.
func TestYoungSite(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
		check(t, err)
		t.Cleanup(log.Close)
		youngSite(t, log.Brokers(), "young-embedded")
	})
	t.Run("kafka", func(t *testing.T) {
		b, err := kafka.Start(t.Context(), t.TempDir())
		check(t, err)
		t.Cleanup(b.Kill)
		youngSite(t, b.Brokers(), "young-kafka")
	})
}

func youngSite(t *testing.T, brokers []string, site string) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	defer func() { clock.Advance(-clock.Ahead()) }() // Kafka's stamps do not move with it
	const partitions = 6
	check(t, kafkalog.CreateTopic(ctx, brokers, site, partitions))
	conn, err := clickhouseio.Dial(server.DSN())
	check(t, err)
	defer conn.Close()
	run := func() *pipelines.Job {
		cfg := config.Demo()
		cfg.Source.Shards, cfg.Audience.MinSample, cfg.Audience.Activate, cfg.Audience.Hysteresis = 2, 1, 0, 0
		j, err := pipelines.NewJob(ctx, cfg, brokers, site, site, server.DSN())
		check(t, err)
		j.Look = 200 * time.Millisecond
		check(t, j.Start(ctx))
		t.Cleanup(func() { j.Stop() }) // harmless when it has stopped
		return j
	}
	lag := func() *query.Check {
		h, err := query.Health(ctx, conn, site, query.DefaultThresholds)
		if err != nil {
			return nil // nothing is recorded yet
		}
		return &h.Checks[slices.IndexFunc(h.Checks, func(c query.Check) bool { return c.Kind == "watermark_lag" })]
	}
	j := run()
	waitFor(t, "a health of a site without events", func() bool { return lag() != nil })
	if c := lag(); !c.OK || c.Value != nil {
		t.Errorf("without an event: %+v", c)
	}
	abandons := func(device string) {
		t.Helper()
		fillCart(t, ctx, brokers, site, device)
		waitFor(t, device+" in a segment", func() bool {
			return count(t, conn, "SELECT count() FROM segment_events_dedup WHERE site = ? AND person = 'd:"+device+"' AND cause = 'event'", site) > 0
		})
		clock.Advance(65 * time.Second)
		waitFor(t, device+" to have left the cart", func() bool {
			return count(t, conn, "SELECT count() FROM segment_events_dedup WHERE site = ? AND node LIKE '%/cart_abandoner' AND action = 'entered' AND cause = 'time' AND person = 'd:"+device+"'", site) == 1
		})
		waitFor(t, "all shards to have the time after "+device, func() bool { // each tells it with its next heartbeat
			c := lag()
			return c != nil && c.OK && c.Value != nil
		})
	}
	abandons("ann")
	waitFor(t, "an audience and its activation", func() bool {
		return count(t, conn, "SELECT count() FROM activation_current WHERE site = ? AND path LIKE '%/cart_abandoner' AND members = 1 AND total = 1 AND active = 1", site) == 1
	})

	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	check(t, err)
	defer cl.Close()
	_, err = kadm.NewClient(cl).UpdatePartitions(ctx, partitions+2, site)
	check(t, err)
	waitFor(t, "the job to see the partitions", func() bool { return j.Unread() == 2 })
	in := func(name string, unread bool) string {
		for i := 0; ; i++ {
			if device := fmt.Sprint(name, i); (event.Partition(device, partitions+2) >= partitions) == unread {
				return device
			}
		}
	}
	abandons(in("bob", false))
	check(t, j.Stop())
	j = run()
	if j.Unread() != 0 {
		t.Errorf("%d partitions are unread after a restart", j.Unread())
	}
	abandons(in("eve", true))
	check(t, j.Stop())
}

// fillCart compares for two minutes and puts something into a cart.
func fillCart(t *testing.T, ctx context.Context, brokers []string, topic, device string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic))
	check(t, err)
	defer cl.Close()
	send := func(at time.Time, e string) {
		stamp := at.UTC().Format("2006-01-02T15:04:05.000Z")
		v := fmt.Sprintf(`{"anonymousId":%q,"messageId":"%s-%s","timestamp":%q,%s}`, device, device, stamp, stamp, e)
		check(t, cl.ProduceSync(ctx, &kgo.Record{Key: []byte(device), Value: []byte(v)}).FirstErr())
	}
	now := clock.Now()
	for s := 125; s > 0; s -= 25 {
		send(now.Add(time.Duration(-s)*time.Second), `"type":"page","properties":{"path":"/compare"}`)
	}
	send(now, `"type":"track","event":"Product Added","properties":{"path":"/compare","product_id":"1","price":100,"quantity":1}`)
}
