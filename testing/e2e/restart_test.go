package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestGoesOn: a job goes on where another one of the same process was, several
// times, while events come. One that was stopped leaves snapshots, so that nothing
// is applied again; one that ends abruptly or is taken over leaves its journal. What
// was applied again is in snapshots before their interval is over: jobs that
// testing/faults killed every ten seconds had more to apply again each time, and
// did nothing new for a minute. The machines that it moves between have clocks
// that differ by ten minutes: rows that waited for a time which the next machine's
// clock had not reached waited for so long, and the record with them.
func TestGoesOn(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	const site, lives, events = "goes-on", 5, 20_000
	check(t, kafkalog.CreateTopic(ctx, log.Brokers(), site, 8))
	cl, err := kgo.NewClient(kgo.SeedBrokers(log.Brokers()...), kgo.DefaultProduceTopic(site))
	check(t, err)
	defer cl.Close()
	r := rand.New(rand.NewPCG(1, 1))
	start, sent := time.Now().Add(-5*time.Minute), 0
	var left *pipelines.Job // that was not stopped
	t.Cleanup(func() { clock.Advance(-clock.Ahead()) })
	for life := range lives {
		clock.Advance([]time.Duration{0, 5 * time.Minute, -10 * time.Minute, 0, 5 * time.Minute}[life])
		cfg := config.Demo()
		cfg.Source.Shards = 2
		j, err := pipelines.NewJob(ctx, cfg, log.Brokers(), site, site, server.DSN())
		check(t, err)
		check(t, j.Start(ctx))
		t.Log(j.Recovery.String())
		if has := j.Recovery.Profiles > 0; has != (life > 1) {
			t.Errorf("life %d has %d profiles from snapshots", life, j.Recovery.Profiles)
		}
		if again := j.Recovery.Batches > 0; again != (life == 1 || life == 3) {
			t.Errorf("life %d applies %d batches again", life, j.Recovery.Batches)
		}
		if left != nil {
			if err := left.Stop(); err == nil {
				t.Error("a job that was taken over ends as if nothing had happened")
			}
			left = nil
		}
		if life > 0 && j.Recovery.Since.IsZero() {
			t.Fatalf("life %d read the log again: %s", life, j.Recovery.String())
		}
		ends := map[int32]int64{}
		for range events {
			d := r.IntN(2000)
			user := ""
			if d%3 == 0 {
				user = fmt.Sprintf(`,"userId":"u%d"`, d/9)
			}
			at := start.Add(time.Duration(sent) * 2 * time.Millisecond).UTC().Format("2006-01-02T15:04:05.000Z")
			v := fmt.Sprintf(`{"type":"page","anonymousId":"d%d","messageId":"m%d"%s,"timestamp":%q,"properties":{"path":"/product/1"}}`, d, sent, user, at)
			sent++
			cl.Produce(ctx, &kgo.Record{Key: fmt.Appendf(nil, "d%d", d), Value: []byte(v)}, func(r *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
			if life >= 2 && sent%events == events/2 {
				check(t, j.Snapshot(ctx))
			}
			if sent%2000 == 0 {
				time.Sleep(50 * time.Millisecond)
			}
		}
		check(t, cl.Flush(ctx))
		if life == 1 {
			waitFor(t, "snapshots of what was applied again", func() bool {
				stats, err := j.Changelog()
				check(t, err)
				return stats.Rounds > 0
			})
		}
		if life == lives-1 {
			listed, err := kadm.NewClient(cl).ListEndOffsets(ctx, site)
			check(t, err)
			listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
			check(t, j.Drained(ctx, ends))
		}
		j.Abrupt = life == 2
		if life == 0 {
			left = j
			continue
		}
		check(t, j.Stop())
		if slices.Contains(engine.Opened(), j.Name()) {
			t.Errorf("life %d has ended, and %s is still open", life, j.Name())
		}
	}
	conn, err := clickhouseio.Dial(server.DSN())
	check(t, err)
	defer conn.Close()
	if n := count(t, conn, "SELECT toUInt64(sum(good)) FROM (SELECT argMax(good, version) AS good FROM progress WHERE site = ? AND stage = 'device' GROUP BY partition)", site); n != uint64(sent) {
		t.Errorf("%d of %d events are good", n, sent)
	}
	if n := count(t, conn, "SELECT toUInt64(sum(events)) FROM sessions_current WHERE site = ?", site); n != uint64(sent) {
		t.Errorf("the sessions have %d of %d events", n, sent)
	}
}
