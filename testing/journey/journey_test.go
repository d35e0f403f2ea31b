// Package journey follows one event from the page to the record and back into the
// page: its exact form at every hop is a file in testdata. Read them in order; it is the tour of the
// code. After a change on purpose: go test ./testing/journey -rewrite.
package journey

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sources/replay"
	"github.com/microseg/microseg/transforms"
	"github.com/microseg/microseg/transforms/wire"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	clickhouse.HandleChild()
	os.Exit(m.Run())
}

// visit is what Anna's browser sent before: she compares laptops for a while,
// hovering over price and features.
func visit() (lines []string) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	line := func(after time.Duration, body string) {
		lines = append(lines, fmt.Sprintf(`{"anonymousId":"anna-phone","messageId":"m%d","timestamp":"%s",%s,"context":{"device":{"type":"mobile"},"os":{"name":"iOS"},"network":{"effectiveType":"4g"},"screen":{"width":390,"height":844},"page":{"path":"%s"}}}`,
			len(lines)+1, at.Add(after).Format("2006-01-02T15:04:05.000Z"), body, []string{"/", "/compare/laptops", "/product/1004"}[min(len(lines), 1)]))
	}
	line(0, `"type":"page","properties":{}`)
	line(20*time.Second, `"type":"page","properties":{}`)
	line(45*time.Second, `"type":"track","event":"Element Hovered","properties":{"element":"price","duration_ms":1800}`)
	line(70*time.Second, `"type":"track","event":"Element Hovered","properties":{"element":"features","duration_ms":2400}`)
	line(95*time.Second, `"type":"track","event":"Page Pinged","properties":{"seconds":25,"visible":true}`)
	line(120*time.Second, `"type":"track","event":"Page Scrolled","properties":{"depth":0.82,"velocity":340,"seconds_to_half":9}`)
	return append(lines, theEvent)
}

// theEvent is the one whose journey this is: she puts one of them in the cart.
const theEvent = `{"type":"track","event":"Product Added","anonymousId":"anna-phone","messageId":"m7","timestamp":"2026-03-02T09:02:10.000Z",` +
	`"properties":{"product_id":"1004","category":"electronics/laptops","price":1299.5,"quantity":1},` +
	`"context":{"device":{"type":"mobile"},"os":{"name":"iOS"},"network":{"effectiveType":"4g"},"screen":{"width":390,"height":844},"page":{"path":"/compare/laptops"}}}`

// later are two other visitors' events, so that time passes: Anna has gone quiet. Of one
// alone nobody could tell whether its clock is ahead.
var later = []string{
	`{"type":"page","anonymousId":"someone-else","messageId":"x1","timestamp":"2026-03-02T09:05:00.000Z","properties":{},"context":{"page":{"path":"/"}}}`,
	`{"type":"page","anonymousId":"another-one","messageId":"x2","timestamp":"2026-03-02T09:05:00.000Z","properties":{},"context":{"page":{"path":"/"}}}`,
}

// golden compares a hop with its file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		check(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s is\n%s\nnot (%v)\n%s", name, got, err, want)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestJourney(t *testing.T) {
	golden(t, "1_record.json", theEvent+"\n")
	spec, err := pipelines.SpecOf(config.Demo(), "journey", 1)
	check(t, err)
	events := decode(t, spec)
	e := events[len(events)-1-len(later)]
	golden(t, "2_event.txt", fields(fmt.Sprintf("%+v", e)))
	built, err := spec.Build()
	check(t, err)
	batch(t, spec)
	features(t, built, events[:len(events)-len(later)])
	stage(t, spec, built)
	record(t)
}

// decode is the first stage: JSON to narrow events.
func decode(t *testing.T, spec transforms.Spec) (out []event.Event) {
	d, err := event.NewDecoder(spec.Event)
	check(t, err)
	for i, line := range append(visit(), later...) {
		var e event.Event
		check(t, d.Decode([]byte(line), event.Unstated, 0, &e))
		e.Offset = int64(i)
		out = append(out, e)
	}
	return out
}

// fields puts each field of a printed struct on a line.
func fields(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
	var b strings.Builder
	for _, f := range strings.Fields(s) {
		if name, value, ok := strings.Cut(f, ":"); ok && value != "" && value != "0" && value != "[]" && value != "false" {
			fmt.Fprintf(&b, "%-12s %s\n", name, value)
		}
	}
	return b.String()
}

// raw is the batch that the source makes of some lines.
func raw(lines []string) *identity.RawBatch {
	b := &identity.RawBatch{Emitted: 1, Due: 1, Ranges: []identity.Range{{Prev: -1, Last: int64(len(lines)) - 1}}, Chunks: [][]identity.Record{nil}}
	for i, l := range lines {
		b.Chunks[0] = append(b.Chunks[0], identity.Record{Offset: int64(i), Value: []byte(l)})
	}
	return b
}

// batch is the element between the first two stages: one Arrow record batch.
func batch(t *testing.T, spec transforms.Spec) {
	d, err := transforms.NewBatchDecoder(&spec)
	check(t, err)
	h, b := d.Decode(raw([]string{theEvent}))
	enc, err := wire.NewEventWriter().Encode(&h, b)
	check(t, err)
	at := bytes.Index(enc, []byte("\xff\xff\xff\xff")) // behind the header
	rd, err := ipc.NewReader(bytes.NewReader(enc[at:]))
	check(t, err)
	if !rd.Next() {
		t.Fatal("no record")
	}
	var out strings.Builder
	for i, f := range rd.Schema().Fields() {
		fmt.Fprintf(&out, "%-10s %-8s %s\n", f.Name, f.Type, rd.Record().Column(i).ValueStr(0))
	}
	golden(t, "3_batch.txt", out.String())
}

// features are what the device's profile says after the event, and the conditions that read them.
func features(t *testing.T, b *transforms.Built, events []event.Event) {
	var q session.Profile
	for i := range events {
		q.Add(&events[i], &b.Identity.Session)
	}
	values := make([]float64, len(b.Segment.Schema.Stored()))
	q.Fill(values, len(b.Spec.Event.Elements))
	var out strings.Builder
	for slot, f := range b.Segment.Schema.Stored() {
		if x := values[slot]; x != 0 {
			text := fmt.Sprint(x)
			if f.Enum != nil {
				text = f.Enum[int(x)]
			}
			fmt.Fprintf(&out, "%-20s %s %s\n", f.Name, text, f.Unit)
		}
	}
	v := segment.View{Live: q.Live, Long: q.Long, Last: q.Last, SessionEnd: q.Last + b.Spec.GapMS, Devices: 1, Values: values}
	fmt.Fprintf(&out, "live %.4f, long %.4f at %d\n\n", q.Live.Sum, q.Long.Sum, q.Live.Ref)
	for _, verdict := range b.Segment.Tree.Explain(&v, q.Last) {
		fmt.Fprintf(&out, "%s: %v\n", b.Segment.Tree.Path(verdict.Node), verdict.Holds)
		for _, c := range verdict.Conditions {
			fmt.Fprintf(&out, "    %-26s %-5v (%.4g%s)\n", c.Text, c.Holds, c.Value, c.Name)
		}
	}
	golden(t, "4_features.txt", out.String())
}

// stage is the device stage over the whole visit: what leaves it for the record.
func stage(t *testing.T, spec transforms.Spec, b *transforms.Built) {
	g, err := transforms.NewDeviceStage(b, nil)
	check(t, err)
	d, err := transforms.NewBatchDecoder(&spec)
	check(t, err)
	h, events := d.Decode(raw(append(visit(), later...)))
	var out []string
	_, err = g.Fold(context.Background(), transforms.NewDeviceState(b, nil), &h, events, transforms.Outputs{
		Counts: func(_ int, c []byte) { out = append(out, "audience counts: "+string(c)) },
		Rows: func(r rows.Batch) {
			if r.Table == rows.TableSegmentEvents || r.Table == rows.TableSegmentState || r.Table == rows.TableSessions {
				out = append(out, text(t, r)...)
			}
		}})
	check(t, err)
	golden(t, "5_stage.txt", strings.Join(out, "\n")+"\n")
}

// text writes Anna's rows of a batch, a column a line, without the wall clock's.
func text(t *testing.T, b rows.Batch) (out []string) {
	rd, err := ipc.NewReader(bytes.NewReader(b.Data))
	check(t, err)
	rd.Next()
	rec := rd.Record()
	for i := range int(rec.NumRows()) {
		row := []string{b.Table}
		anna := false
		for c, f := range rec.Schema().Fields() {
			v := rec.Column(c).ValueStr(i)
			anna = anna || strings.Contains(v, "anna")
			if v != "0" && v != "" && f.Name != "decided_at" && f.Name != "version" {
				row = append(row, fmt.Sprintf("    %-20s %s", f.Name, v))
			}
		}
		if anna {
			out = append(out, strings.Join(row, "\n"))
		}
	}
	return out
}

// record is the end: the whole job over the visit, and what an analyst finds.
func record(t *testing.T) {
	ctx := t.Context()
	ch, err := clickhouse.Start(ctx, clickhouse.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { ch.Stop() })
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	check(t, kafkalog.CreateTopic(ctx, log.Brokers(), "journey", 1))
	j, err := pipelines.NewJob(ctx, config.Demo(), log.Brokers(), "journey", "journey", ch.DSN())
	check(t, err)
	check(t, j.Start(ctx))
	src := io.NopCloser(strings.NewReader(strings.Join(append(visit(), later...), "\n")))
	sent, err := replay.Run(ctx, replay.Options{Brokers: log.Brokers(), Topic: "journey", Reader: src, Progress: io.Discard})
	check(t, err)
	check(t, j.Drained(ctx, sent.Ends))
	check(t, j.Stop())
	conn, err := clickhouseio.Dial(ch.DSN())
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	var out strings.Builder
	for _, q := range []string{
		"SELECT person, transition, action, node, cause, toString(at) FROM segment_events_dedup WHERE person LIKE '%anna%' ORDER BY at, transition, action, node",
		"SELECT person, path, served, toString(since) FROM segments_current WHERE person LIKE '%anna%'",
		"SELECT device, person, events, page_views, path, toString(start), toString(end), dwell_comparison_s, hover_s, max_scroll, cart_items, cart_value FROM sessions_current WHERE device LIKE '%anna%'",
	} {
		fmt.Fprintf(&out, "%s\n", q)
		rs, err := conn.Query(ctx, q)
		check(t, err)
		for rs.Next() {
			var cells []string
			values := make([]any, len(rs.ColumnTypes()))
			for i, ct := range rs.ColumnTypes() {
				values[i] = newOf(ct.DatabaseTypeName())
			}
			check(t, rs.Scan(values...))
			for _, v := range values {
				cells = append(cells, show(v))
			}
			fmt.Fprintf(&out, "    %s\n", strings.Join(cells, " | "))
		}
		check(t, rs.Close())
	}
	golden(t, "6_record.txt", out.String())
	served(t, log, "journey")
}

func newOf(typ string) any {
	switch {
	case strings.Contains(typ, "String"):
		return new(string)
	case typ == "UInt32":
		return new(uint32)
	case slices.Contains([]string{"Float32", "Float64"}, typ):
		return new(float64)
	}
	return new(uint8)
}

func show(v any) string {
	switch v := v.(type) {
	case *string:
		return *v
	case *uint32:
		return fmt.Sprint(*v)
	case *float64:
		return fmt.Sprint(*v)
	}
	return fmt.Sprint(v)
}
