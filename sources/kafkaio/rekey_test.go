package kafkaio

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// scattered is a topic whose records are keyed as its writer likes.
type scattered struct {
	cl   *kgo.Client
	at   time.Time
	n    int
	want map[string][]string // by device: ids of the events in their order
}

// put writes events of a few visitors, hours of event time within a few milliseconds
// of the log's, each into the partition that of chooses.
func (s *scattered) put(t *testing.T, events int, of func(device, user string) int32) {
	t.Helper()
	var all []*kgo.Record
	for range events {
		device, user := fmt.Sprint("d", s.n%7), ""
		if s.n%3 == 0 {
			user = fmt.Sprint("u", s.n%4)
		}
		s.at = s.at.Add(time.Minute)
		all = append(all, &kgo.Record{Topic: "events", Partition: of(device, user), Value: fmt.Appendf(nil,
			`{"type":"page","anonymousId":%q,"userId":%q,"messageId":"m%d","timestamp":%q}`, device, user, s.n, s.at.Format(time.RFC3339))})
		s.want[device] = append(s.want[device], fmt.Sprint("m", s.n))
		s.n++
	}
	check(t, s.cl.ProduceSync(t.Context(), all...).FirstErr())
}

// TestRekeyer: topics keyed by nothing, by userId and at random, one that gets
// partitions while it is copied, with a copier that is killed and two that copy at
// once: each device's events are in one partition, in their order, and each counts
// once. Read as they were they are strays; of RudderStack's Kafka destination, which
// keys by userId, else anonymousId, all that a visitor does when logged in.
func TestRekeyer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	log, err := kafkalog.Start(kafkalog.Options{Partitions: 4, Topics: []string{"events"}})
	check(t, err)
	t.Cleanup(log.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(log.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50*time.Millisecond))
	check(t, err)
	t.Cleanup(cl.Close)
	r := rand.New(rand.NewPCG(1, 7))
	s := &scattered{cl: cl, at: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), want: map[string][]string{}}
	byUser := func(n int32) func(device, user string) int32 {
		return func(device, user string) int32 {
			if user == "" {
				user = device
			}
			return event.Partition(user, n)
		}
	}
	atRandom := func(string, string) int32 { return r.Int32N(4) }
	s.put(t, 300, atRandom)
	s.put(t, 300, byUser(4))
	check(t, cl.ProduceSync(ctx, &kgo.Record{Topic: "events", Partition: 2, Value: []byte("no json")}).FirstErr())

	topic, why, err := OpenSource(ctx, log.Brokers(), "events", RekeyAuto, 0, event.Config{})
	if err != nil || topic != "events-keyed" || why == "" {
		t.Fatalf("the topic to read is %q (%s, %v)", topic, why, err)
	}
	copier := func() (stop func()) {
		run, kill := context.WithCancel(ctx)
		var g sync.WaitGroup
		g.Go(func() { (&Rekeyer{Brokers: log.Brokers(), Events: "events"}).Run(run) })
		return func() { kill(); g.Wait() }
	}
	stop := copier()
	time.Sleep(200 * time.Millisecond)
	stop()
	_, err = kadm.NewClient(cl).DeleteGroups(ctx, "events-keyed-copier") // killed before it could keep its position
	check(t, err)
	stop, other := copier(), copier()
	s.put(t, 200, byUser(4))
	resp, err := kadm.NewClient(cl).UpdatePartitions(ctx, 9, "events")
	check(t, err)
	check(t, resp.Error())
	cl.ForceMetadataRefresh()
	time.Sleep(300 * time.Millisecond)
	s.put(t, 200, byUser(9))
	check(t, Copied(ctx, log.Brokers(), "events"))
	stop()
	other()

	got := readKeyed(t, ctx, log.Brokers(), s.n+1)
	for device, want := range s.want {
		if fmt.Sprint(got[device]) != fmt.Sprint(want) {
			t.Errorf("%s has %d events, not %d in their order:\n%v\n%v", device, len(got[device]), len(want), got[device], want)
		}
	}
}

// readKeyed folds the copies as a device shard does: the events of each device that
// count, in order; one that is in another partition than its device fails the test.
func readKeyed(t *testing.T, ctx context.Context, brokers []string, good int) map[string][]string {
	t.Helper()
	_, ends, err := Bounds(ctx, brokers, "events-keyed")
	check(t, err)
	d, err := event.NewDecoder(event.Config{})
	check(t, err)
	n := int32(len(ends))
	p := identity.Params{Partitions: n, Retention: 1e12, Session: session.Params{Lateness: 600_000, Gap: 1_800_000, DwellCap: 30_000,
		HalfLives: signal.HalfLives{Live: 600_000, Long: 7_200_000}, Weigher: signal.NewWeigher(nil)}}
	got := map[string][]string{}
	counts := identity.Counts{}
	for part, end := range ends {
		s := identity.NewShard(&p)
		if end == 0 {
			continue
		}
		b := identity.Batch{Ranges: []identity.Range{{Partition: part, Prev: -1, Last: end - 1}}}
		names := map[uint64]string{}
		check(t, Log{Brokers: brokers, Topic: "events-keyed"}.ReadRange(ctx, part, 0, end-1, func(rec identity.Record) error {
			var e event.Event
			if err := d.Decode(rec.Value, event.Unstated, rec.Append, &e); err != nil {
				b.Dead = append(b.Dead, identity.DeadLetter{Partition: part, Offset: rec.Offset, Origin: rec.Origin})
				return nil
			}
			e.Partition, e.Offset, e.HasOrigin, e.OriginPartition, e.OriginOffset = part, rec.Offset, rec.Origin.Known, rec.Origin.Partition, rec.Origin.Offset
			var id int
			_, err := fmt.Sscanf(string(rec.Value[bytes.Index(rec.Value, []byte(`"messageId":"m`)):]), `"messageId":"m%d"`, &id)
			names[e.ID] = fmt.Sprint("m", id)
			b.Events = append(b.Events, e)
			return err
		}))
		var out identity.Output
		seen := map[uint64]bool{}
		out.Before, out.Passed, out.Opened = func(*session.Profile, int64) {}, func(int64) {}, func(string) {}
		out.Gone, out.Erased = func(string, *session.Profile, int64) {}, func(string, *session.Profile, int64) {}
		out.Vector = func(v *session.Vector, e *event.Event) {
			if !v.Retract && !seen[e.ID] {
				seen[e.ID] = true
				got[e.Device] = append(got[e.Device], names[e.ID])
			}
		}
		check(t, s.Apply(&b, &out))
		for _, dead := range out.Dead {
			if dead.Reason != "" {
				t.Errorf("a dead letter: %+v", dead)
			}
		}
		c := s.Partition(part).Counts
		counts.Good, counts.Dead, counts.Duplicate, counts.Stray = counts.Good+c.Good, counts.Dead+c.Dead, counts.Duplicate+c.Duplicate, counts.Stray+c.Stray
	}
	if int(counts.Good+counts.Dead) != good || counts.Dead != 1 || counts.Stray > 0 || counts.Duplicate == 0 {
		t.Errorf("of %d records: %+v", good, counts)
	}
	return got
}
