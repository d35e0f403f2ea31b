package privacy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/privacy"
	"github.com/microseg/microseg/serving/store"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a node without ClickHouse.
type site struct {
	t       *testing.T
	brokers []string
	store   *store.Store
	out     *segmentsio.Writer
	url     string
}

func open(t *testing.T, retention string, change func(*privacy.Config)) *site {
	t.Helper()
	log, err := kafkalog.Start(kafkalog.Options{})
	check(t, err)
	t.Cleanup(log.Close)
	s := &site{t: t, brokers: log.Brokers()}
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...))
	check(t, err)
	defer cl.Close()
	_, err = kadm.NewClient(cl).CreateTopic(t.Context(), 5, -1, map[string]*string{"retention.ms": &retention}, "events")
	check(t, err)
	check(t, segmentsio.CreateTopic(t.Context(), s.brokers, "segments", 5))
	schema, params := segment.NewSchema(nil), segment.Params{Kappa: 10, GapMS: 1}
	tree, err := segment.NewTree(segment.NewCompiler(schema, params), []segment.Spec{{Name: "a", When: "orders > 0.0"}})
	check(t, err)
	s.store, err = store.Open(t.Context(), store.Config{Brokers: s.brokers, Topic: "segments", Tree: tree})
	check(t, err)
	t.Cleanup(s.store.Close)
	s.out, err = segmentsio.Open(segmentsio.Config{Brokers: s.brokers, Topic: "segments"})
	check(t, err)
	t.Cleanup(func() { s.out.Close(context.Background()) })
	c := privacy.Config{Brokers: s.brokers, Events: "events", Segments: "segments", Store: s.store, Tree: tree, Schema: schema, Params: params, AdminKey: adminKey, WriteKeys: []string{"demo"}}
	if change != nil {
		change(&c)
	}
	p, err := privacy.New(t.Context(), c)
	check(t, err)
	t.Cleanup(p.Close)
	mux := http.NewServeMux()
	p.Register(mux)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// publish puts a record, or none, of a person where the store reads.
func (s *site) publish(key string, r *segment.Record) {
	var value, batch codec.Writer
	if r != nil {
		r.AppendTo(&value)
	}
	segment.AppendKeyed(&batch, key, value.B)
	check(s.t, s.out.Publish(context.Background(), batch.B))
}

// job answers tombstones as the job does, until the test ends.
func (s *site) job() {
	s.t.Helper()
	d, err := event.NewDecoder(event.Config{})
	check(s.t, err)
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(s.t, err)
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			for it := cl.PollFetches(ctx).RecordIter(); !it.Done(); {
				r := it.Next()
				var e event.Event
				if d.Decode(r.Value, event.Unstated, 0, &e) != nil || e.Kind != event.KindDelete && e.Kind != event.KindDeleteUser {
					continue
				}
				s.publish(session.PersonID(e.Device, ""), nil)
				if e.User != "" && e.Kind == event.KindDelete {
					s.publish(session.PersonID("", e.User), nil)
				}
			}
		}
	})
	s.t.Cleanup(func() { stop(); done.Wait(); cl.Close() })
}

func (s *site) ask(method, path, authorization string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, nil)
	check(s.t, err)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return s.answered(r)
}

func (s *site) answered(r *http.Request) (int, string) {
	s.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	check(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(s.t, err)
	if resp.Header.Get("Cache-Control") != "private, no-store" || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		s.t.Errorf("%s %s: %v", r.Method, r.URL.Path, resp.Header)
	}
	return resp.StatusCode, string(b)
}

const (
	adminKey = "adminadminadminadminadminadminadmin"
	bearer   = "Bearer " + adminKey
)

func (s *site) known(person string) {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		if ok, err := s.store.Get(person, &segment.Record{}); ok || time.Now().After(deadline) {
			check(s.t, err)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// forgotten is a cache that notes what it was told.
type forgotten struct {
	mu   sync.Mutex
	keys []string
}

func (f *forgotten) Forget(_ context.Context, keys ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = append(f.keys, keys...)
	return nil
}

// TestWithoutClickHouse: a node that cannot reach ClickHouse refuses, says so,
// and does the rest when it is told to.
func TestWithoutClickHouse(t *testing.T) {
	t.Parallel()
	redis := &forgotten{}
	s := open(t, "-1", func(c *privacy.Config) { c.Redis = redis })
	s.job()
	s.publish("d:phone", &segment.Record{Version: 1, User: "ann"})
	s.publish("u:ann", &segment.Record{Version: 1, Path: "everyone/a", Linked: true, Devices: 1})
	s.known("u:ann")
	code, body := s.ask("GET", "/v1/profiles/ann", bearer)
	if code != http.StatusOK || !strings.Contains(body, `"path":"everyone/a","served":"everyone"`) || !strings.Contains(body, "no retention limit") || !strings.Contains(body, "no DSN") {
		t.Errorf("exported: %d %s", code, body)
	}
	if code, body := s.ask("DELETE", "/v1/profiles/ann", bearer); code != http.StatusConflict || !strings.Contains(body, "without=clickhouse") {
		t.Errorf("%d %s", code, body)
	}
	code, body = s.ask("DELETE", "/v1/profiles/ann?wait=1&without=clickhouse", bearer)
	var r privacy.Receipt
	check(t, json.Unmarshal([]byte(body), &r))
	if code != http.StatusOK || !r.Complete || !strings.Contains(body, "its rows stay") || !strings.Contains(body, "no retention limit") {
		t.Errorf("%d %s", code, body)
	}
	slices.Sort(redis.keys)
	// What others did on the phone stays, and its record tells Redis when the user's is gone.
	if fmt.Sprint(redis.keys) != "[d:user:ann u:ann]" {
		t.Errorf("Redis was told of %v", redis.keys)
	}
	if r.Devices != 2 || r.Shared != 1 || s.controlsOf(2)["phone"].Kind != event.KindDeleteUser {
		t.Errorf("the phone, which others may have used, is no device of which the user alone goes: %s", body)
	}
	if code, body := s.ask("GET", "/v1/profiles/ann/deletion?receipt="+r.ID, bearer); code != http.StatusOK || !strings.Contains(body, r.ID) {
		t.Errorf("the receipt: %d %s", code, body)
	}
	for _, id := range []string{"ann", "u:ann", "d:phone"} {
		if code, body := s.ask("GET", "/v1/profiles/"+id, bearer); code != http.StatusNotFound {
			t.Errorf("%s: %d %s", id, code, body)
		}
	}
}

// TestInterrupted: a deletion that the job does not get to says so, and leaves
// its tombstones for when it does.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := open(t, "1000000", func(c *privacy.Config) { c.Patience = time.Second })
	code, body := s.ask("DELETE", "/v1/profiles/d:phone?wait=1&without=clickhouse", bearer)
	if code != http.StatusAccepted || !strings.Contains(body, "is it running?") || !strings.Contains(body, `"complete":false`) || !strings.Contains(body, `"tombstones":[{`) {
		t.Errorf("%d %s", code, body)
	}
}

// TestWhoMayAsk: the admin, and nobody else, whatever the route.
func TestWhoMayAsk(t *testing.T) {
	t.Parallel()
	s := open(t, "-1", nil)
	nobody := open(t, "-1", func(c *privacy.Config) { c.AdminKey = "" })
	for _, route := range []string{"GET /v1/profiles/x", "DELETE /v1/profiles/x?without=clickhouse", "GET /v1/profiles/x/deletion?receipt=y"} {
		method, path, _ := strings.Cut(route, " ")
		for _, c := range []struct {
			at            *site
			authorization string
			code          int
		}{
			{s, "", 401}, {s, "Bearer", 401}, {s, "Bearer ", 401}, {s, "Bearer wrong", 401}, {s, "Bearer demo", 403}, {s, "Basic ZGVtbzo=", 403}, {s, "bearer wrong", 401},
			{nobody, "Bearer ", 401}, {nobody, bearer, 401},
		} {
			if code, body := c.at.ask(method, path, c.authorization); code != c.code {
				t.Errorf("%s with %q: %d %s", route, c.authorization, code, body)
			}
		}
	}
}

// TestTombstonesFollowTheirEvents: whatever the id, a tombstone is in the
// partition of the events that the collector keys by it, and the topic of
// erasures says so without telling of whom.
func TestTombstonesFollowTheirEvents(t *testing.T) {
	t.Parallel()
	s := open(t, "-1", func(c *privacy.Config) { c.Patience = 20 * time.Second })
	s.job()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	check(t, err)
	defer cl.Close()
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 8 {
		id := fmt.Sprintf("%x-é/ %d", r.Uint64(), i)
		at, err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "events", Key: []byte(id), Value: []byte("{}")}).First()
		check(t, err)
		path := "/v1/profiles/d:" + url.PathEscape(id)
		_, body := s.ask("DELETE", path+"?wait=1&without=clickhouse", bearer)
		var got privacy.Receipt
		check(t, json.Unmarshal([]byte(body), &got))
		if !got.Complete || len(got.Tombstones) != 1 || got.Tombstones[0].Partition != at.Partition || got.Tombstones[0].Offset <= at.Offset {
			t.Errorf("%q is at %d/%d, the receipt is %s", id, at.Partition, at.Offset, body)
		}
		s.erased(identity.Erasure{Partition: at.Partition, Offset: got.Tombstones[0].Offset, Device: identity.HashDevice(id)}, id)
	}
}

// erased looks for an erasure in its topic.
func (s *site) erased(want identity.Erasure, id string) {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(identity.ErasedTopic("events")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(s.t, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	for {
		fs := cl.PollFetches(ctx)
		check(s.t, fs.Err())
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if strings.Contains(string(r.Key)+string(r.Value), id) {
				s.t.Errorf("the topic of erasures names %q", id)
			}
			if e, err := identity.ReadErasure(r.Key, r.Value); err == nil && e == want {
				return
			}
		}
	}
}

// TestRawEventsOfBothTopics: with source.rekey the events are in two topics. The
// receipt and the export spoke of the copies alone, which had a limit, while the topic
// that was copied kept the person's events for ever.
func TestRawEventsOfBothTopics(t *testing.T) {
	t.Parallel()
	for inbox, says := range map[string]string{"-1": `"inbox\" has no retention limit`, "86400000": `"events\" drops raw events`} {
		s := open(t, "172800000", func(c *privacy.Config) {
			cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...))
			check(t, err)
			defer cl.Close()
			_, err = kadm.NewClient(cl).CreateTopic(t.Context(), 2, -1, map[string]*string{"retention.ms": &inbox}, "inbox")
			check(t, err)
			c.Inbox = "inbox"
		})
		s.job()
		s.publish("d:phone", &segment.Record{Version: 1, Path: "everyone/a", Devices: 1})
		s.known("d:phone")
		says = strings.Replace(says, `"`, `\"`, 1)
		if code, body := s.ask("GET", "/v1/profiles/d:phone", bearer); code != http.StatusOK || !strings.Contains(body, says) {
			t.Errorf("kept for %s: exported: %d %s", inbox, code, body)
		}
		if code, body := s.ask("DELETE", "/v1/profiles/d:phone?wait=1&without=clickhouse", bearer); code != http.StatusOK || !strings.Contains(body, says) {
			t.Errorf("kept for %s: %d %s", inbox, code, body)
		}
	}
}
