package collect

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/serving/routes"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Collector takes events. It is safe for concurrent use.
type Collector struct {
	cfg      Config
	keys     map[string]bool
	client   *kgo.Client
	decoders chan *event.Decoder // one a core: decoding does not wait
	memory   *memory
	metrics  *metrics
	senders  *senders
	lane     *lane
	log      background

	identified identified
}

// New checks the configuration and makes a collector. It does not wait for the
// log: see Ready.
func New(cfg Config) (*Collector, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Collector{cfg: cfg, keys: map[string]bool{}, decoders: make(chan *event.Decoder, runtime.GOMAXPROCS(0)),
		memory: newMemory(cfg.MaxInFlight, cfg.AddressShare, cfg.MaxBatchBytes), lane: newLane(cfg.Undecided)}
	for _, k := range cfg.WriteKeys {
		c.keys[k] = true
	}
	reads := cfg.Event
	reads.MaxBytes = cfg.MaxBatchBytes + event.Overhead // so that an oversized event is read, too: it may lack consent
	for range cap(c.decoders) {
		d, err := event.NewDecoder(reads)
		if err != nil {
			return nil, fmt.Errorf("configuring the collector: %w", err)
		}
		c.decoders <- d
	}
	var err error
	if c.metrics, err = newMetrics(cfg.Metrics, c.memory); err != nil {
		return nil, fmt.Errorf("registering the collector's metrics: %w", err)
	}
	if c.senders, err = newSenders(&cfg.Limits, cfg.Metrics); err != nil {
		return nil, err
	}
	if c.client, err = newClient(&cfg); err != nil {
		return nil, err
	}
	return c, nil
}

func newClient(cfg *Config) (*kgo.Client, error) {
	return kafka.New(cfg.Brokers, kgo.DefaultProduceTopic(cfg.Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2, as Kafka's own clients and replay
		kgo.RecordDeliveryTimeout(max(time.Second, cfg.ProduceTimeout)),
		kgo.ProducerBatchMaxBytes(1<<20),
		kgo.ProducerLinger(time.Millisecond),
		// Records whose request has given up may still wait here; MaxInFlight
		// no longer counts them.
		kgo.MaxBufferedRecords(1<<20),
		kgo.MaxBufferedBytes(int(2*cfg.MaxInFlight)),
	)
}

// Ready is nil while the log answers and has the topic.
func (c *Collector) Ready(ctx context.Context) error {
	err := c.client.Ping(ctx) // topics may come from a cache
	if err == nil {
		var topics kadm.TopicDetails
		if topics, err = kafka.Admin(c.client).ListTopics(ctx, c.cfg.Topic); err == nil {
			err = topics[c.cfg.Topic].Err
		}
	}
	if err != nil {
		return fmt.Errorf("asking the log for topic %q: %w", c.cfg.Topic, err)
	}
	return nil
}

// Close waits until ctx ends for what is on its way to the log. Requests have
// to be over by then: shut the server down first.
func (c *Collector) Close(ctx context.Context) error {
	err := c.client.Flush(ctx)
	c.client.Close()
	if err != nil {
		return fmt.Errorf("flushing the collector's events: %w", err)
	}
	return nil
}

// segmentTypes are the calls of Segment's API with their short forms, which
// its browser library uses.
var segmentTypes = map[string]string{
	"track": "track", "t": "track", "page": "page", "p": "page", "screen": "screen", "s": "screen",
	"identify": "identify", "i": "identify", "alias": "alias", "a": "alias", "group": "group", "g": "group",
	event.TypeReset: event.TypeReset, // our own: a log-out
}

// Register adds the collector's routes to a mux: routes.Collector, each also with
// a slash at its end.
func (c *Collector) Register(mux *http.ServeMux) {
	handlers := c.handlers()
	for _, r := range routes.Collector {
		h := handlers[r.Path]
		if h == nil {
			panic("collect: nothing answers " + r.Path) // found by any test of the collector
		}
		for _, path := range []string{r.Path, r.Path + "/{$}"} {
			for method := range strings.FieldsSeq(r.Methods) {
				mux.HandleFunc(method+" "+path, h)
			}
			mux.HandleFunc("OPTIONS "+path, c.preflight)
		}
	}
}

// handlers are what answers each path of routes.Collector.
func (c *Collector) handlers() map[string]http.HandlerFunc {
	out := map[string]http.HandlerFunc{
		"/v1/identity/link":                c.handle("/v1/identity/link", linkAnswers, (*request).link),
		"/v1/m":                            c.handle("/v1/m", segmentAnswers, (*request).ownMetrics),
		"/v1/projects/{writeKey}/settings": c.settings,
		"/v1/pixel/{call}":                 c.handle("/v1/pixel", pixelAnswers, (*request).pixel),
		"/sourceConfig":                    c.sourceConfig,
	}
	for word, typ := range segmentTypes {
		out["/v1/"+word] = c.handle("/v1/"+typ, segmentAnswers, func(q *request) error { return q.single(typ) })
	}
	for _, path := range []string{"/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch"} {
		out[path] = c.handle("/v1/batch", segmentAnswers, (*request).segmentBatch)
	}
	for path, read := range map[string]func(*request) error{
		"/track": (*request).mixpanelTrack, "/import": (*request).mixpanelTrack,
		"/engage": (*request).mixpanelEngage, "/groups": (*request).mixpanelGroups} {
		out[path] = c.handle(path, mixpanelAnswers, read)
	}
	return out
}

// ownMetrics acknowledges what Segment's library counts of itself; nothing reads it.
func (q *request) ownMetrics() error { return nil }

// Handler serves the collector's routes alone.
func (c *Collector) Handler() http.Handler {
	mux := http.NewServeMux()
	c.Register(mux)
	return httpserver.OneSlash(mux)
}
