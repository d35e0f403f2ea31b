package journey

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/twmb/franz-go/pkg/kgo"
)

// nodeAt is when the page asks: a minute and ten seconds after Anna's event.
var nodeAt = time.Date(2026, 3, 2, 9, 3, 20, 0, time.UTC)

// testKeys sign the tokens of the tour.
const testKeys = "tour:000102030405060708090a0b0c0d0e0f"

// openNode starts a serving node on the log, whose job has published there.
func openNode(t *testing.T, brokers []string, topic string) *http.ServeMux {
	t.Helper()
	n, err := node.Open(t.Context(), config.Demo(), node.Options{Brokers: brokers, Events: topic, Segments: segmentsio.Topic(topic), Site: "journey",
		Secrets: node.Secrets{TokenKeys: testKeys}, Now: func() time.Time { return nodeAt }})
	check(t, err)
	t.Cleanup(func() { check(t, n.Close(context.Background())) })
	check(t, n.Store.Wait(t.Context()))
	mux := http.NewServeMux()
	n.Register(mux)
	return mux
}

// collected is the first hop: what the page sends, and the record that the
// collector makes of it.
func collected(t *testing.T, mux *http.ServeMux, brokers []string, topic string) {
	body := `{"writeKey":"demo","batch":[` + theEvent + `]}`
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("POST", "/v1/batch", strings.NewReader(body)))
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(t, err)
	defer cl.Close()
	var last *kgo.Record
	for last == nil || !bytes.Contains(last.Value, []byte("receivedAt")) {
		fs := cl.PollFetches(t.Context())
		check(t, fs.Err())
		fs.EachRecord(func(r *kgo.Record) { last = r })
	}
	golden(t, "0_collected.txt", fmt.Sprintf("POST /v1/batch\n%s\n\n%d %s\n\nkey   %s\nvalue %s\n", body, w.Code, strings.TrimSpace(w.Body.String()), last.Key,
		today.ReplaceAllString(string(last.Value), `"receivedAt":"(now)"`)))
}

var today = regexp.MustCompile(`"receivedAt":"[^"]*"`)

// published is what the job published of Anna, the newest record of her key.
func published(t *testing.T, brokers []string, topic string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(t, err)
	defer cl.Close()
	var rec segment.Record
	var size int
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if string(r.Key) == "d:anna-phone" {
				check(t, rec.Read(r.Value))
				size = len(r.Value)
			}
		})
	}
	var out strings.Builder
	fmt.Fprintf(&out, "topic %s, key d:anna-phone, %d bytes\n", topic, size)
	line := func(name string, v any) { fmt.Fprintf(&out, "    %-20s %v\n", name, v) }
	at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000") }
	line("path", rec.Path)
	line("since", at(rec.Since))
	line("evaluated", at(rec.Evaluated))
	line("last event", at(rec.Last))
	line("session ends", at(rec.SessionEnd))
	line("live", fmt.Sprintf("%.4f at %s", rec.Live.Sum, at(rec.Live.Ref)))
	line("long", fmt.Sprintf("%.4f at %s", rec.Long.Sum, at(rec.Long.Ref)))
	line("devices", rec.Devices)
	stored := segment.NewSchema(config.Demo().Elements).Stored()
	for slot, v := range rec.Values {
		if v != 0 {
			line(stored[slot].Name, math.Round(v*1e4)/1e4)
		}
	}
	golden(t, "7_published.txt", out.String())
}

// answered is the last hop: an audience makes her segment active, and the page asks.
func answered(t *testing.T, mux *http.ServeMux) {
	var out strings.Builder
	ask := func(method, target, body string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
		fmt.Fprintf(&out, "%s %s\n", method, target)
		if body != "" {
			fmt.Fprintln(&out, body)
		}
		fmt.Fprintf(&out, "\n%d\n", w.Code)
		for _, h := range []string{"Cache-Control", "Surrogate-Control", "Content-Type"} {
			if v := w.Header().Get(h); v != "" {
				fmt.Fprintf(&out, "%s: %s\n", h, v)
			}
		}
		text := w.Body.String()
		var pretty bytes.Buffer
		if json.Indent(&pretty, w.Body.Bytes(), "", "  ") == nil {
			text = unescape.Replace(pretty.String())
		}
		fmt.Fprintf(&out, "\n%s\n\n", strings.TrimSpace(volatile.ReplaceAllString(text, `"$1": …`)))
	}
	ask("POST", "/api/segment", `{"anonymousId":"anna-phone"}`)
	ask("POST", "/api/personalize", `{"segment":"everyone","event":"/","anonymousId":"anna-phone"}`)
	ask("GET", "/esi/hero?"+url.Values{"segment": {"everyone/high_intent/cart_abandoner"}, "page": {"home"}, "device": {event.DeviceTypes[event.DeviceMobile]}}.Encode(), "")
	golden(t, "8_answers.txt", out.String())
}

var (
	unescape = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&", `\"`, `"`)
	volatile = regexp.MustCompile(`"(lag_ms|version)": [^,\n]*`)
)

// activate does what an audience would do: Anna alone is below the minimum sample.
func activate(t *testing.T, brokers []string, topic string, paths ...string) {
	w, err := segmentsio.Open(segmentsio.Config{Brokers: brokers, Topic: topic})
	check(t, err)
	a := segment.Active{Version: math.MaxUint64, Minute: math.MaxInt32, Paths: paths}
	var value, batch codec.Writer
	a.AppendTo(&value)
	segment.AppendKeyed(&batch, segment.ActiveKey, value.B)
	check(t, w.Publish(t.Context(), batch.B))
	check(t, w.Close(t.Context()))
}

// served follows the event from the job to the page.
func served(t *testing.T, log *kafkalog.Log, topic string) {
	published(t, log.Brokers(), segmentsio.Topic(topic))
	activate(t, log.Brokers(), segmentsio.Topic(topic), "everyone", "everyone/high_intent", "everyone/high_intent/cart_abandoner")
	mux := openNode(t, log.Brokers(), topic)
	answered(t, mux)
	collected(t, mux, log.Brokers(), topic)
}
