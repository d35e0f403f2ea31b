package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/serving/privacy"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/erasure"
	"github.com/microseg/microseg/sinks/redisio"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/testing/harness/redis"
	"github.com/microseg/microseg/transforms"
	redisclient "github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// shop is a job, a node and what deletes persons, with a ClickHouse database
// that others use, too.
type shop struct {
	t       *testing.T
	brokers []string
	site    string // and the topic of events
	rekey   bool   // the events are copied by device
	trace   string // in every id of the visitor who is deleted, and in nobody else's
	job     *pipelines.Job
	node    *node.Node
	conn    driver.Conn
	redis   *redisio.Writer
	reader  *redisclient.Client // of the same Redis
	url     string
	start   time.Time
	sent    int
}

const adminKey = "the-admin-key-of-the-tests-is-long-enough"

func openShop(t *testing.T, site string, rekey bool) *shop {
	t.Helper()
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	s := &shop{t: t, brokers: log.Brokers(), site: site, rekey: rekey, trace: fmt.Sprintf("%08x", rand.Uint32()|1<<31), start: time.Now().Add(-10 * time.Minute)}
	check(t, kafkalog.CreateTopic(t.Context(), s.brokers, site, 4))
	s.conn, err = clickhouseio.Dial(server.DSN())
	check(t, err)
	t.Cleanup(func() { s.conn.Close() })
	s.run(false)
	s.startRedis()
	s.node, s.url = s.serve()
	return s
}

// startRedis starts a Redis that follows the topic of segments.
func (s *shop) startRedis() {
	s.t.Helper()
	server, err := redis.Start(s.t.Context(), s.t.TempDir())
	check(s.t, err)
	s.t.Cleanup(server.Kill)
	s.redis, err = redisio.Open(redisio.Config{Addr: server.Addr()})
	check(s.t, err)
	cfg := config.Demo()
	tree, err := cfg.SegmentTree()
	check(s.t, err)
	schema := segment.NewSchema(cfg.Elements)
	f := redisio.NewFollower(redisio.Source{Brokers: s.brokers, Topic: s.job.Segments.Topic, Stored: len(schema.Stored()),
		Features: schema.Published(tree.Slots(nil)), Params: cfg.SegmentParams()}, s.redis)
	run, stop := context.WithCancel(context.WithoutCancel(s.t.Context()))
	done := make(chan error)
	go func() { done <- f.Run(run) }()
	s.t.Cleanup(func() {
		stop()
		check(s.t, <-done)
		check(s.t, s.redis.Close(context.WithoutCancel(s.t.Context())))
	})
	s.reader = redisclient.NewClient(&redisclient.Options{Addr: server.Addr()})
	s.t.Cleanup(func() { s.reader.Close() })
}

// inRedis are the keys of Redis that tell of the visitor, or whose values do.
func (s *shop) inRedis() (found []string) {
	s.t.Helper()
	for it := s.reader.Scan(s.t.Context(), 0, "*", 0).Iterator(); it.Next(s.t.Context()); {
		value, err := s.reader.Get(s.t.Context(), it.Val()).Result()
		if err != nil && !errors.Is(err, redisclient.Nil) {
			s.t.Fatal(err)
		}
		if strings.Contains(it.Val()+value, s.trace) {
			found = append(found, it.Val())
		}
	}
	return found
}

// run starts a job, which goes on where another was stopped, or reads the log
// again.
func (s *shop) run(rebuild bool) {
	s.t.Helper()
	cfg := config.Demo()
	cfg.Source.Shards = 2
	if s.rekey {
		cfg.Source.Rekey = kafkaio.RekeyOn
	}
	var err error
	s.job, err = pipelines.NewJob(s.t.Context(), cfg, s.brokers, s.site, s.site, server.DSN())
	check(s.t, err)
	s.job.Rebuild = rebuild
	if rebuild {
		time.Sleep(1100 * time.Millisecond) // runs are told apart by the second
	}
	check(s.t, s.job.Start(s.t.Context()))
	s.t.Cleanup(func() { s.job.Stop() }) // harmless when it has stopped
}

// serve starts a node.
func (s *shop) serve() (*node.Node, string) {
	s.t.Helper()
	cfg := config.Demo()
	n, err := node.Open(s.t.Context(), cfg, node.Options{Brokers: s.brokers, Events: s.job.Source.Topic, Inbox: s.site, Segments: s.job.Segments.Topic, Site: s.site,
		Secrets: node.Secrets{TokenKeys: "k:" + strings.Repeat("ab", 32), AdminKey: adminKey}})
	check(s.t, err)
	s.t.Cleanup(func() { n.Close(context.Background()) })
	tree, err := cfg.SegmentTree()
	check(s.t, err)
	record, err := erasure.Open(s.t.Context(), server.DSN(), s.site)
	check(s.t, err)
	s.t.Cleanup(func() { record.Close() })
	p, err := privacy.New(s.t.Context(), privacy.Config{Brokers: s.brokers, Events: s.job.Source.Topic, Inbox: s.site, Segments: s.job.Segments.Topic, Store: n.Store, Tree: tree,
		Schema: segment.NewSchema(cfg.Elements), Params: cfg.SegmentParams(), Retention: cfg.Retention, Record: record, Redis: s.redis,
		Covered: func(ctx context.Context) (map[int32]int64, bool, error) {
			return changelogio.Covered(ctx, s.brokers, changelogio.Topic(s.job.Source.Topic))
		}, Copied: func(ctx context.Context) error {
			if !s.rekey {
				return nil
			}
			return kafkaio.Copied(ctx, s.brokers, s.site)
		}, AdminKey: adminKey, WriteKeys: cfg.Collector.WriteKeys})
	check(s.t, err)
	s.t.Cleanup(p.Close)
	mux := http.NewServeMux()
	n.Register(mux)
	p.Register(mux)
	srv := httptest.NewServer(mux)
	s.t.Cleanup(srv.Close)
	return n, srv.URL
}

func (s *shop) ask(method, path, body, key string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	check(s.t, err)
	switch {
	case key == adminKey:
		r.Header.Set("Authorization", "Bearer "+key)
	case key != "":
		r.SetBasicAuth(key, "")
	}
	resp, err := http.DefaultClient.Do(r)
	check(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(s.t, err)
	if got := resp.Header.Get("Cache-Control"); strings.HasPrefix(path, "/v1/profiles") && got != "private, no-store" {
		s.t.Errorf("%s %s may be cached: %q", method, path, got)
	}
	return resp.StatusCode, string(b)
}

// send writes events through the collector. Where they are copied by device, pages are
// written by somebody else's software, into any partition.
func (s *shop) send(events ...string) {
	s.t.Helper()
	for i, e := range events {
		at := s.start.Add(time.Duration(s.sent+i) * 10 * time.Second).UTC().Format("2006-01-02T15:04:05.000Z")
		events[i] = strings.Replace(e, "AT", at, 1)
	}
	s.sent += len(events)
	if s.rekey {
		var pages []*kgo.Record
		events = slices.DeleteFunc(events, func(e string) bool {
			is := strings.HasPrefix(e, `{"type":"page"`)
			if is {
				pages = append(pages, &kgo.Record{Topic: s.site, Value: []byte(e)})
			}
			return is
		})
		cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
		check(s.t, err)
		check(s.t, cl.ProduceSync(s.t.Context(), pages...).FirstErr())
		cl.Close()
		if len(events) == 0 {
			return
		}
	}
	code, body := s.ask("POST", "/v1/batch", `{"batch":[`+strings.Join(events, ",")+`]}`, config.Demo().Collector.WriteKeys[0])
	if code != http.StatusOK {
		s.t.Fatalf("the collector answers %d %s", code, body)
	}
}

func page(ids string, path string) string {
	return `{"type":"page",` + ids + `,"timestamp":"AT","properties":{"path":"` + path + `"}}`
}

// copyAgain forgets how far the events were copied, so that the next job copies all of
// them again, behind the tombstones.
func (s *shop) copyAgain() {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...))
	check(s.t, err)
	defer cl.Close()
	_, err = kadm.NewClient(cl).DeleteGroups(s.t.Context(), s.job.Source.Topic+"-copier")
	check(s.t, err)
}

// drained waits until the job has recorded all that the log holds now.
func (s *shop) drained() map[int32]int64 {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...))
	check(s.t, err)
	defer cl.Close()
	if s.rekey {
		check(s.t, kafkaio.Copied(s.t.Context(), s.brokers, s.site))
	}
	offsets, err := kadm.NewClient(cl).ListEndOffsets(s.t.Context(), s.job.Source.Topic)
	check(s.t, err)
	ends := map[int32]int64{}
	offsets.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	check(s.t, s.job.Drained(ctx, ends))
	return ends
}

// traces counts what ClickHouse holds of the visitor, over every text column of
// every table, by table.
func (s *shop) traces() map[string]uint64 {
	s.t.Helper()
	rs, err := s.conn.Query(s.t.Context(), `SELECT table, groupArray(name) FROM system.columns WHERE database = currentDatabase() AND type LIKE '%String%'
		AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine NOT LIKE '%View%') GROUP BY table`)
	check(s.t, err)
	tables := map[string][]string{}
	for rs.Next() {
		var table string
		var columns []string
		check(s.t, rs.Scan(&table, &columns))
		tables[table] = columns
	}
	check(s.t, rs.Err())
	rs.Close()
	if len(tables) < 9 {
		s.t.Fatalf("ClickHouse has %v", tables)
	}
	out := map[string]uint64{}
	for table, columns := range tables {
		if n := count(s.t, s.conn, "SELECT count() FROM "+table+" WHERE ? != '' AND concat(`"+strings.Join(columns, "`, ' ', `")+"`) LIKE '%"+s.trace+"%'", s.site); n > 0 {
			out[table] = n
		}
	}
	return out
}

// published reads the topic of segments whole: the visitor's keys that still
// have a value, and how many records with one there are from offset on.
func (s *shop) published(from map[int32]int64) (keys []string, later int) {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(s.job.Segments.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords()) // a partition may end with the end of a transaction
	check(s.t, err)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(s.t.Context(), s.job.Segments.Topic)
	check(s.t, err)
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	held := map[string]bool{}
	for len(left) > 0 {
		fs := cl.PollFetches(s.t.Context())
		check(s.t, fs.Err())
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			held[string(r.Key)] = len(r.Value) > 0 && strings.Contains(string(r.Key)+" "+string(r.Value), s.trace)
			if end, ok := from[r.Partition]; ok && r.Offset >= end && held[string(r.Key)] {
				later++
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		}
	}
	for k, has := range held {
		if has {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys, later
}

// nothing fails where anything of the visitor is left.
func (s *shop) nothing(when string) {
	s.t.Helper()
	if left := s.traces(); len(left) > 0 {
		s.t.Errorf("%s: ClickHouse has %v", when, left)
	}
	if keys, _ := s.published(nil); len(keys) > 0 {
		s.t.Errorf("%s: topic of segments: %v", when, keys)
	}
	if keys := s.inRedis(); len(keys) > 0 {
		s.t.Errorf("%s: Redis has %v", when, keys)
	}
	for _, id := range []string{"u:ann-" + s.trace, "d:phone-" + s.trace, "d:desk-" + s.trace, "d:user:ann-" + s.trace} {
		if ok, err := s.node.Store.Get(id, &segment.Record{}); ok || err != nil {
			s.t.Errorf("%s: the node knows %s (%v)", when, id, err)
		}
		if code, body := s.ask("GET", "/v1/profiles/"+id, "", adminKey); code != http.StatusNotFound {
			s.t.Errorf("%s: %s is exported: %d %s", when, id, code, body)
		}
	}
	if ok, err := s.node.Store.Get("u:bob", &segment.Record{}); !ok || err != nil {
		s.t.Errorf("%s: who was not deleted is gone (%v)", when, err)
	}
}

// restart stops the job and starts one that goes on, or reads the log from its
// beginning; records is what both have read then.
func (s *shop) restart(records int, rebuild bool) {
	s.t.Helper()
	check(s.t, s.job.Stop())
	s.run(rebuild)
	deadline := time.Now().Add(time.Minute)
	for int(transforms.StatsOf(s.job.Engine()).Read) < records {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d records are read again", transforms.StatsOf(s.job.Engine()).Read, records)
		}
		time.Sleep(50 * time.Millisecond)
	}
	check(s.t, s.job.Stop())
}

// segmentEnds is where the topic of segments ends.
func (s *shop) segmentEnds() map[int32]int64 {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...))
	check(s.t, err)
	defer cl.Close()
	offsets, err := kadm.NewClient(cl).ListEndOffsets(s.t.Context(), s.job.Segments.Topic)
	check(s.t, err)
	ends := map[int32]int64{}
	offsets.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s took too long", what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
