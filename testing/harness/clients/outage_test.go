package clients

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/collect"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var logOutage = flag.Duration("log-outage", 4*time.Second, "for how long the log is away in TestLogAway; 60s is what the project promises")

// restartable is a log on disk behind a collector whose answers are counted.
type restartable struct {
	t       *testing.T
	dir     string
	port    int
	log     *kafkalog.Log
	away    atomic.Bool
	refused atomic.Int64 // 503 with Retry-After
	wrong   atomic.Int64 // any other answer to a request that came while the log was away
	acked   atomic.Int64
}

func (r *restartable) start() {
	r.t.Helper()
	var err error
	if r.log, err = kafkalog.Start(kafkalog.Options{Dir: r.dir, Port: r.port, Topics: []string{"events"}}); err != nil {
		r.t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(r.log.Brokers()[0])
	if err == nil {
		r.port, err = strconv.Atoi(port)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// watch is a handler that looks at the answers of another.
func (r *restartable) watch(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		away := r.away.Load()
		seen := httptest.NewRecorder()
		h.ServeHTTP(seen, req)
		switch {
		case seen.Code == http.StatusServiceUnavailable && seen.Header().Get("Retry-After") != "":
			r.refused.Add(1)
		case away && r.away.Load():
			r.wrong.Add(1)
		case seen.Code == http.StatusOK:
			r.acked.Add(1)
		}
		for k, v := range seen.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(seen.Code)
		_, _ = w.Write(seen.Body.Bytes()) // a client that has gone away sends again
	})
}

// TestLogAway: while the log is away the collector acknowledges nothing, and
// says when to come back; Segment's library, as it is, keeps its events, and in
// the end each is there once, as the decoder and the job, which drops what has a
// messageId that it knows, see it.
func TestLogAway(t *testing.T) {
	t.Parallel()
	dir := modules(t)
	r := &restartable{t: t, dir: t.TempDir()}
	r.start()
	c, err := collect.New(collect.Config{Brokers: r.log.Brokers(), WriteKeys: []string{"demo"}, ProduceTimeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		r.log.Close()
	})
	srv := httptest.NewServer(r.watch(c.Handler()))
	t.Cleanup(srv.Close)
	const n = 100
	kinds := []string{"track", "page", "screen", "identify", "group", "alias"}
	patience := *logOutage + 2*time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "send.cjs", "segment", srv.URL, "demo", fmt.Sprint(n), fmt.Sprint(patience.Milliseconds()))
	cmd.Env = append(os.Environ(), "NODE_PATH="+dir, "HTTP_PROXY=", "HTTPS_PROXY=")
	r.log.Close() // before the library has anything to send: its whole queue waits
	r.away.Store(true)
	ended := make(chan error, 1)
	go func() {
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		ended <- err
	}()
	time.Sleep(*logOutage)
	for r.refused.Load() == 0 && ctx.Err() == nil { // on a busy machine the library takes longer to start
		time.Sleep(10 * time.Millisecond)
	}
	if err := c.Ready(soon(t)); err == nil {
		t.Error("the collector is ready without a log")
	}
	if r.refused.Load() == 0 || r.wrong.Load() > 0 || r.acked.Load() > 0 {
		t.Errorf("while the log was away: %d told to come back, %d acknowledged, %d other answers", r.refused.Load(), r.acked.Load(), r.wrong.Load())
	}
	r.away.Store(false)
	r.start()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	ids := decoded(t, r.log)
	for _, kind := range kinds {
		for i := range n {
			if m := fmt.Sprintf("segment-%s-%d", kind, i); len(ids[m]) != 1 {
				t.Errorf("%s is there under %d messageIds", m, len(ids[m]))
			}
		}
	}
	if len(ids) != n*len(kinds) {
		t.Errorf("%d events of %d", len(ids), n*len(kinds))
	}
	t.Logf("%d requests told to come back, %d acknowledged", r.refused.Load(), r.acked.Load())
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// decoded are the messageIds of each mark on the log, up to its ends; it may hold
// a record twice.
func decoded(t *testing.T, log *kafkalog.Log) map[string]map[string]bool {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(log.Brokers()...), kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	d, err := event.NewDecoder(event.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, "events")
	if err != nil {
		t.Fatal(err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	out := map[string]map[string]bool{}
	for left > 0 {
		f := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d records of the log could not be read: %v", left, f.Err())
		}
		left -= int64(f.NumRecords())
		for _, rec := range f.Records() {
			var e event.Event
			if err := d.Decode(rec.Value, event.Unstated, rec.Timestamp.UnixMilli(), &e); err != nil {
				t.Errorf("%v: %s", err, rec.Value)
			}
			mark, id := marked(t, rec.Value)
			if out[mark] == nil {
				out[mark] = map[string]bool{}
			}
			out[mark][id] = true
		}
	}
	return out
}
