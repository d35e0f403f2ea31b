// Package browser holds the whole loop to account in a real Chromium: events
// from a page, through collector, log, job and serving node, back into the page.
package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/samples/simulate"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/serving/privacy"
	"github.com/microseg/microseg/serving/token"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/testing/harness/chromium"
	"github.com/microseg/microseg/web"
)

// site is a running shop with everything behind it; one for all tests, which
// share its clock and so run one after the other.
var site *shop

type shop struct {
	url     string
	brokers []string
	dsn     string
	cfg     *config.Config
	job     *pipelines.Job
	node    *node.Node
	secrets node.Secrets
	browser *chromium.Browser
	close   []func()
	seeds   uint64 // simulated audiences so far
	proving string // address of the node that asks for proofs; "": none runs yet
}

func TestMain(m *testing.M) {
	clickhouse.HandleChild()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "microseg-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	site = &shop{}
	defer func() {
		for i := len(site.close) - 1; i >= 0; i-- {
			site.close[i]()
		}
	}()
	if err := site.open(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

const eventsTopic = "events"

func (s *shop) open(dir string) error {
	ctx := context.Background()
	log, err := kafkalog.Start(kafkalog.Options{Dir: filepath.Join(dir, "log")})
	if err != nil {
		return err
	}
	s.close = append(s.close, log.Close)
	s.brokers = log.Brokers()
	server, err := clickhouse.Start(ctx, clickhouse.Options{Dir: filepath.Join(dir, "clickhouse")})
	if err != nil {
		return err
	}
	s.close = append(s.close, func() { server.Stop() })
	s.dsn = server.DSN()
	if err := kafkalog.CreateTopic(ctx, s.brokers, eventsTopic, 8); err != nil {
		return err
	}
	s.cfg = config.Demo()
	if s.job, err = pipelines.NewJob(ctx, s.cfg, s.brokers, eventsTopic, s.cfg.Site, s.dsn); err != nil {
		return err
	}
	if err := s.job.Start(ctx); err != nil {
		return err
	}
	s.close = append(s.close, func() { s.job.Stop() })
	if s.browser, err = chromium.Launch(ctx); err != nil {
		return err
	}
	s.close = append(s.close, s.browser.Close)
	return s.serve(ctx, dir)
}

func (s *shop) serve(ctx context.Context, dir string) error {
	secrets, err := node.LocalSecrets(dir)
	if err != nil {
		return err
	}
	s.node, err = node.Open(ctx, s.cfg, node.Options{Brokers: s.brokers, Events: eventsTopic, Segments: s.job.Segments.Topic, Site: s.cfg.Site, Secrets: secrets})
	if err != nil {
		return err
	}
	s.secrets = secrets
	persons, err := s.persons(ctx)
	if err != nil {
		return err
	}
	s.close = append(s.close, persons.Close)
	mux := http.NewServeMux()
	s.node.Register(mux)
	persons.Register(mux)
	web.Register(mux)
	mux.HandleFunc("GET /test/ahead", ahead)
	snippetPages(mux)
	if err := library(mux); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- httpserver.Run(run, httpserver.New(mux, httpserver.Limits{}), ln, 5*time.Second) }()
	s.url = "http://" + ln.Addr().String()
	s.close = append(s.close, func() {
		s.node.EndStreams()
		stop()
		<-done
		s.node.Close(context.Background())
	})
	return nil
}

// ahead tells pages how far the servers' clock is ahead.
func ahead(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, clock.Ahead().Milliseconds()) }

// persons is what the site's own servers ask.
func (s *shop) persons(ctx context.Context) (*privacy.Server, error) {
	tree, err := s.cfg.SegmentTree()
	if err != nil {
		return nil, err
	}
	keys, err := token.ParseKeys(s.secrets.TokenKeys)
	if err != nil {
		return nil, err
	}
	return privacy.New(ctx, privacy.Config{Brokers: s.brokers, Events: eventsTopic, Segments: s.job.Segments.Topic, Store: s.node.Store, Tree: tree,
		Schema: segment.NewSchema(s.cfg.Elements), Params: s.cfg.SegmentParams(), AdminKey: s.secrets.AdminKey, Keys: keys, Site: s.cfg.Site, WriteKeys: s.cfg.Collector.WriteKeys})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seed gives the site an audience of simulated visitors of the last minutes,
// and more of those that a segment lacks until it is active: a lone visitor is
// below the minimum sample.
func (s *shop) seed(t *testing.T, paths ...string) {
	t.Helper()
	if s.seeds == 0 {
		s.simulate(t, 900, func([]string) bool { return true })
	}
	deadline := time.Now().Add(2 * time.Minute)
	for waits := 0; ; waits++ {
		missing := ""
		for _, p := range paths {
			id, ok := s.tree(t).Find(p)
			if !ok || !s.node.Store.Active()[id] {
				missing = p
			}
		}
		switch {
		case missing == "":
			return
		case time.Now().After(deadline):
			t.Fatalf("%s is not active; the audience: %s", missing, s.shares(t))
		case waits%8 == 7: // more than a minute, and still too few
			s.simulate(t, 600, like[missing])
		}
		s.advance(10*time.Second, 300*time.Millisecond)
	}
}

// shares are the last minutes' members of each segment.
func (s *shop) shares(t *testing.T) string {
	t.Helper()
	conn, err := clickhouseio.Dial(s.dsn)
	check(t, err)
	defer conn.Close()
	rows, err := conn.Query(t.Context(), "SELECT minute, path, members, total, active FROM audience_dedup ORDER BY minute DESC, path LIMIT 60")
	check(t, err)
	defer rows.Close()
	var out strings.Builder
	for rows.Next() {
		var minute time.Time
		var path string
		var members, total uint32
		var active bool
		check(t, rows.Scan(&minute, &path, &members, &total, &active))
		fmt.Fprintf(&out, "\n%s %s: %d of %d, %v", minute.Format(time.TimeOnly), path, members, total, active)
	}
	return out.String()
}

// like says whose events lead into a segment.
var like = map[string]func(names []string) bool{
	"everyone/high_intent":   fillsCart,
	abandoner:                fillsCart,
	"everyone/medium_intent": comparesOnly,
	"everyone/medium_intent/price_sensitive_analyzer": comparesOnly,
}

func fillsCart(names []string) bool {
	return slices.Contains(names, "Product Added") && slices.Contains(names, "comparison") && !slices.Contains(names, "Order Completed")
}

func comparesOnly(names []string) bool {
	return slices.Contains(names, "price") && slices.Contains(names, "features") && !slices.Contains(names, "Product Added")
}

// simulate puts visits of the last minutes on the log, those whose names of
// events, page types and elements are wanted. The last event of each visitor comes
// eleven seconds behind the others: who is received only once is no audience.
func (s *shop) simulate(t *testing.T, visitors int, want func(names []string) bool) {
	t.Helper()
	s.seeds++
	const d = 12 * time.Minute
	names, events := map[string][]string{}, []([]byte){}
	check(t, simulate.Run(simulate.Options{Seed: s.seeds, Start: clock.Now().Add(-d), Duration: d, Visitors: visitors}, func(line []byte) error {
		e := simulated(t, line)
		names[e.AnonymousID] = append(names[e.AnonymousID], e.Event, e.Properties.Element, e.Properties.PageType)
		events = append(events, line)
		return nil
	}))
	last := map[string]json.RawMessage{}
	var batch []json.RawMessage
	for _, line := range events {
		device := simulated(t, line).AnonymousID
		if !want(names[device]) {
			continue
		}
		if before := last[device]; before != nil {
			batch = append(batch, before)
		}
		last[device] = line
	}
	for part := range slices.Chunk(batch, 500) {
		s.send(t, part)
	}
	s.advance(11*time.Second, 300*time.Millisecond)
	for part := range slices.Chunk(slices.Collect(maps.Values(last)), 500) {
		s.send(t, part)
	}
}

// send gives events to the collector, as a server's library does: by its clock,
// which tests move, they are not from the future.
func (s *shop) send(t *testing.T, batch []json.RawMessage) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"batch": batch, "writeKey": s.cfg.Collector.WriteKeys[0]})
	check(t, err)
	answer, err := http.Post(s.url+"/v1/batch", "application/json", bytes.NewReader(body))
	check(t, err)
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("the collector answers %d %s, %v", answer.StatusCode, text, err)
	}
}

type simulatedEvent struct {
	AnonymousID, Event string
	Properties         struct {
		Element  string
		PageType string `json:"page_type"`
	}
}

func simulated(t *testing.T, line []byte) (e simulatedEvent) {
	t.Helper()
	check(t, json.Unmarshal(line, &e))
	return e
}

func (s *shop) tree(t *testing.T) *segment.Tree {
	t.Helper()
	tree, err := s.cfg.SegmentTree()
	check(t, err)
	return tree
}

// advance moves the clock of collector, job and node, and of the pages, and
// gives everything a moment.
func (s *shop) advance(d, pause time.Duration, pages ...*chromium.Page) {
	clock.Advance(d)
	for _, p := range pages {
		p.Eval(fmt.Sprintf("__advance(%d)", d.Milliseconds()), nil)
	}
	time.Sleep(pause)
}
