package e2e

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/microseg/microseg/sources/deadletters"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/testing/oracle"
	"github.com/microseg/microseg/transforms"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRekeyed: events that somebody else's software writes, keyed at random and then
// as RudderStack's Kafka destination does it, into a topic that gets partitions on the
// way. The job copies them by device; what it makes of them is what the oracle makes of
// them in one partition.
func TestRekeyed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	const site = "rekeyed"
	check(t, kafkalog.CreateTopic(ctx, log.Brokers(), site, 4))
	cl, err := kgo.NewClient(kgo.SeedBrokers(log.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50*time.Millisecond))
	check(t, err)
	t.Cleanup(cl.Close)
	cfg := config.Demo()
	d, err := event.NewDecoder(cfg.EventConfig())
	check(t, err)
	lines, r := visit(t), rand.New(rand.NewPCG(5, 5))
	put := func(lines [][]byte, n int32, atRandom bool) {
		var all []*kgo.Record
		for _, line := range lines {
			var e event.Event
			check(t, d.Decode(line, event.Unstated, 0, &e))
			key := e.Device
			if e.User != "" {
				key = e.User
			}
			p := event.Partition(key, n)
			if atRandom {
				p = r.Int32N(n)
			}
			all = append(all, &kgo.Record{Topic: site, Partition: p, Value: line})
		}
		check(t, cl.ProduceSync(ctx, all...).FirstErr())
	}
	third := len(lines) / 3
	put(lines[:third], 4, true)
	j, err := pipelines.NewJob(ctx, cfg, log.Brokers(), site, site, server.DSN())
	check(t, err)
	check(t, j.Start(ctx))
	t.Cleanup(func() { j.Stop() })
	if j.Source.Topic != kafkaio.KeyedTopic(site) {
		t.Fatalf("the job reads %q", j.Source.Topic)
	}
	put(lines[third:2*third], 4, false)
	resp, err := kadm.NewClient(cl).UpdatePartitions(ctx, 9, site)
	check(t, err)
	check(t, resp.Error())
	cl.ForceMetadataRefresh()
	time.Sleep(300 * time.Millisecond)
	put(lines[2*third:], 9, false)
	check(t, kafkaio.Copied(ctx, log.Brokers(), site))
	_, ends, err := kafkaio.Bounds(ctx, log.Brokers(), j.Source.Topic)
	check(t, err)
	check(t, j.Drained(ctx, ends))
	check(t, j.Stop())
	conn, err := clickhouseio.Dial(server.DSN())
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	want, err := oracle.Run(cfg, bytes.NewReader(bytes.Join(lines, []byte("\n"))), time.Now().UnixMilli())
	check(t, err)
	compareSessions(t, conn, site, want)
	comparePaths(t, conn, site, want)
}

// TestPoison: stages panic about some records, half-way through them. The job goes on
// in the same process without them, a job that starts again leaves them out as well,
// and a program in which the fault is mended takes them in their place.
func TestPoison(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	const site = "poison"
	var mu sync.Mutex
	bad, broken := map[identity.Place]bool{}, true
	transforms.Inject(func(stage string, at identity.Place) {
		mu.Lock()
		defer mu.Unlock()
		if stage == "device" && broken && (bad[at] || len(bad) < 5 && at.Offset%11 == 3) {
			bad[at] = true
			panic("injected")
		}
	})
	defer transforms.Inject(func(string, identity.Place) {})
	lines := visit(t)
	all := bytes.Join(lines, []byte("\n"))
	conn := replayTo(t, log.Brokers(), site, io.NopCloser(bytes.NewReader(all)), false, func(*config.Config) {})
	letters := "SELECT count() FROM dead_letters_dedup WHERE site = ? AND reason = 'poison'"
	if n := count(t, conn, letters, site); n != 5 || len(bad) != 5 {
		t.Fatalf("%d dead letters of %d records", n, len(bad))
	}
	if n := count(t, conn, "SELECT count() FROM alerts_current WHERE site = ? AND kind = 'poison'", site); n == 0 {
		t.Error("no alert tells of them")
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	cfg := config.Demo()
	j, err := pipelines.NewJob(ctx, cfg, log.Brokers(), site, site, server.DSN())
	check(t, err)
	check(t, j.Start(ctx))
	t.Cleanup(func() { j.Stop() })
	unplaced, err := query.ListLetters(ctx, conn, site)
	check(t, err)
	o := deadletters.Options{Brokers: log.Brokers(), Topic: site, Event: cfg.EventConfig()}
	for _, l := range unplaced {
		o.Letters = append(o.Letters, deadletters.Letter(l))
	}
	replay, err := deadletters.New(ctx, o)
	check(t, err)
	defer replay.Close()
	plan, err := replay.Send(ctx)
	check(t, err)
	waitFor(t, "the job to tell of the letters", func() bool {
		out, err := query.Outcomes(ctx, conn, site, plan.Receipt)
		check(t, err)
		return out[identity.ReplayedGood] == 5
	})
	check(t, j.Stop())
	want, err := oracle.Run(cfg, bytes.NewReader(all), time.Now().UnixMilli())
	check(t, err)
	compareSessions(t, conn, site, want)
	comparePaths(t, conn, site, want)
}
