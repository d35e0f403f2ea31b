package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/measure/usage"
	"github.com/microseg/microseg/samples/simulate"
	vegeta "github.com/tsenart/vegeta/v12/lib"
	"github.com/twmb/franz-go/pkg/kadm"
)

// attackResult is how a node answered requests that came at a steady rate.
type attackResult struct {
	Offered    float64        `json:"offered_per_s"`
	Achieved   float64        `json:"achieved_per_s"` // answered with 200
	Requests   uint64         `json:"requests"`
	LatencyMS  quantiles      `json:"latency_ms"`
	Codes      map[string]int `json:"codes"`
	Errors     []string       `json:"errors,omitempty"`
	AnswerSize float64        `json:"answer_bytes"`
	NodeCores  float64        `json:"node_cores"`
	OwnCores   float64        `json:"generator_cores"` // the embedded log's share is in here, too
	OtherCores float64        `json:"others_cores"`    // what else the machine was busy with
	RSSMB      float64        `json:"node_rss_mb"`
}

// attack offers requests for the warm-up and then for the measured time.
func (n *nodeProcess) attack(ctx context.Context, rate float64, o *serveOptions, target vegeta.Targeter) *attackResult {
	pace := vegeta.Rate{Freq: int(rate), Per: time.Second}
	run := func(d time.Duration) *vegeta.Metrics {
		a := vegeta.NewAttacker(vegeta.Connections(o.Connections), vegeta.MaxConnections(o.Connections), vegeta.Workers(uint64(o.Connections)),
			vegeta.MaxWorkers(uint64(8*o.Connections)), vegeta.HTTP2(false), vegeta.Timeout(10*time.Second))
		defer context.AfterFunc(ctx, func() { a.Stop() })()
		var m vegeta.Metrics
		for r := range a.Attack(target, pace, d, "") {
			m.Add(r)
		}
		m.Close()
		return &m
	}
	if o.WarmUp > 0 {
		run(o.WarmUp)
	}
	pid := n.cmd.Process.Pid
	own, theirs, all, start := usage.CPU(), usage.CPUOf(pid), usage.Machine(), time.Now()
	m := run(o.Duration)
	took := time.Since(start).Seconds()
	own, theirs, all = (usage.CPU()-own)/took, (usage.CPUOf(pid)-theirs)/took, (usage.Machine()-all)/took
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return &attackResult{Offered: rate, Achieved: m.Throughput, Requests: m.Requests, Codes: m.StatusCodes, Errors: m.Errors[:min(5, len(m.Errors))], AnswerSize: m.BytesIn.Mean,
		LatencyMS: quantiles{"p50": ms(m.Latencies.P50), "p95": ms(m.Latencies.P95), "p99": ms(m.Latencies.P99), "max": ms(m.Latencies.Max)},
		OwnCores:  own, NodeCores: theirs, OtherCores: max(0, all-own-theirs), RSSMB: usage.MB(pid)}
}

// visitors counts through the visitors in an order that caches do not like.
type visitors struct {
	n    int
	next atomic.Uint64
}

func (v *visitors) id() string {
	const stride = 7919 // prime, so that all are met
	return benchVisitor(int(v.next.Add(1) * stride % uint64(v.n)))
}

// lookups asks for the segments of visitors.
func lookups(addr string, profiles int) vegeta.Targeter {
	v := &visitors{n: profiles}
	return func(t *vegeta.Target) error {
		t.Method, t.URL = http.MethodGet, "http://"+addr+"/api/segment?anonymousId="+v.id()
		return nil
	}
}

// personalizes asks what to show visitors on product pages.
func personalizes(addr string, profiles int) vegeta.Targeter {
	v := &visitors{n: profiles}
	url, header := "http://"+addr+"/api/personalize", http.Header{"Content-Type": {"text/plain"}}
	return func(t *vegeta.Target) error {
		t.Method, t.URL, t.Header = http.MethodPost, url, header
		t.Body = append(append([]byte(`{"segment":"everyone","event":{"type":"page","properties":{"path":"/product/17","name":"A laptop","category":"computers/laptops"},`+
			`"context":{"device":{"type":"desktop"}}},"anonymousId":"`), v.id()...), `"}`...)
		return nil
	}
}

// collectResult is how the collector took batches of events.
type collectResult struct {
	EventsPerS float64 `json:"events_per_s"` // acknowledged
	Records    int64   `json:"records"`      // in the log at the end, the warm-up's included
	BatchSize  int     `json:"events_per_batch"`
	attackResult
}

const batchSize = 100

// benchServerKey is what the generator sends with: it is one address, and for a public
// key its rate would be limited.
var benchServerKey = strings.Repeat("bench", 8)

// collect offers batches of events. What the log holds at the end must be what
// was acknowledged.
func (n *nodeProcess) collect(ctx context.Context, brokers []string, o *serveOptions) (*collectResult, error) {
	bodies, err := batches(500)
	if err != nil {
		return nil, err
	}
	var next atomic.Uint64
	header := http.Header{"Content-Type": {"application/json"}, "Authorization": {basic(benchServerKey)}}
	r := n.attack(ctx, o.EventRate/batchSize, o, func(t *vegeta.Target) error {
		t.Method, t.URL, t.Header, t.Body = http.MethodPost, "http://"+n.addr+"/v1/batch", header, bodies[next.Add(1)%uint64(len(bodies))]
		return nil
	})
	cl, err := kafka.New(brokers)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends, err := kafka.Admin(cl).ListEndOffsets(ctx, benchTopic)
	if err != nil {
		return nil, fmt.Errorf("asking for the topic's end: %w", err)
	}
	out := &collectResult{EventsPerS: r.Achieved * batchSize, BatchSize: batchSize, attackResult: *r}
	ends.Each(func(e kadm.ListedOffset) { out.Records += e.Offset })
	if sent := int64(next.Load()) * batchSize; len(r.Errors) == 0 && out.Records != sent {
		return nil, fmt.Errorf("the log holds %d events, but %d were acknowledged", out.Records, sent)
	}
	return out, nil
}

func basic(user string) string {
	var r http.Request
	r.Header = http.Header{}
	r.SetBasicAuth(user, "")
	return r.Header.Get("Authorization")
}

// batches are bodies of POST /v1/batch.
func batches(n int) (out [][]byte, err error) {
	var events []json.RawMessage
	load := simulate.LoadOptions{Seed: 3, Visitors: 100_000, Events: n * batchSize, Start: time.Now(), RatePerSecond: 20_000}
	err = simulate.Load(load, func(_, value []byte) error {
		if events = append(events, bytes.Clone(value)); len(events) < batchSize {
			return nil
		}
		body, err := json.Marshal(map[string]any{"batch": events})
		out, events = append(out, body), events[:0]
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making batches of %s events: %w", strconv.Itoa(batchSize), err)
	}
	return out, nil
}
