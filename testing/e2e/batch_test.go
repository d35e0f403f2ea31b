package e2e

import (
	"bytes"
	"io"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/sinks/clickhouseio"
)

func init() { register.DoFn2x0[[]byte, func(int64, []byte)](&linesFn{}) }

// linesFn numbers the lines of a file.
type linesFn struct{ File []byte }

func (fn *linesFn) ProcessElement(_ []byte, emit func(int64, []byte)) {
	for i, l := range bytes.Split(fn.File, []byte("\n")) {
		emit(int64(i), l)
	}
}

// TestBatchEqualsStream: Beam's session windows and combiner over the same
// events give the same session rows as the live job's state.
func TestBatchEqualsStream(t *testing.T) {
	file := bytes.Join(visit(t), []byte("\n"))
	conn := replayAll(t, "stream", io.NopCloser(bytes.NewReader(file)), false, func(*config.Config) {})
	spec, err := pipelines.SpecOf(config.Demo(), "batch", 1)
	check(t, err)
	p, s := beam.NewPipelineWithRoot()
	records := beam.ParDo(s, &linesFn{File: file}, beam.Impulse(s))
	clickhouseio.Write(s, clickhouseio.Config{DSN: server.DSN(), Site: "batch"}, pipelines.Batch(s, spec, records))
	check(t, pipelines.RunPrism(t.Context(), p))
	if n := count(t, conn, sessions, "batch"); n == 0 || n != count(t, conn, sessions, "stream") {
		t.Errorf("%d sessions in batch, %d in stream", n, count(t, conn, sessions, "stream"))
	}
	const columns = "device, start, end, events, page_views, clicks, path, duration_s, dwell_s, dwell_list_s, dwell_product_s, dwell_comparison_s, dwell_cart_s, dwell_checkout_s, dwell_high_ticket_s, max_scroll, scroll_velocity, half_scroll_s, hover_s, focus_s, video_starts, video_dropoffs, form_starts, form_submits, orders, revenue"
	if n := count(t, conn, "SELECT count() FROM (SELECT "+columns+" FROM sessions_current WHERE site = 'stream' EXCEPT SELECT "+columns+" FROM sessions_current WHERE site = ?)", "batch"); n != 0 {
		t.Errorf("%d sessions of the stream are not in the batch", n)
	}
}
