package clickhouseio

import (
	"reflect"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/rows"
)

func init() {
	register.DoFn2x1[int, func(rows.Batch), error](&makeRows{})
	register.Emitter1[rows.Batch]()
	beam.RegisterType(reflect.TypeOf((*makeRows)(nil)).Elem())
}

// makeRows turns a number into a membership event, a newer state of one of ten
// persons, and progress.
type makeRows struct{}

func (*makeRows) ProcessElement(n int, emit func(rows.Batch)) error {
	ev, st, pr := rows.NewSegmentEventBuilder(), rows.NewSegmentStateBuilder(), rows.NewProgressBuilder()
	ev.Append(&rows.SegmentEvent{Site: "s", Person: "p", Transition: uint32(n), Node: "n", Action: rows.Entered})
	st.Append(&rows.SegmentState{Site: "s", Person: string(rune('a' + n%10)), Transitions: uint32(n), Version: uint64(n)})
	pr.Append(&rows.Progress{Site: "s", Stage: rows.StagePerson, Offset: int64(n), Version: uint64(n)})
	for _, batch := range []func(int64) (rows.Batch, error){ev.Batch, st.Batch, pr.Batch} {
		b, err := batch(0)
		if err != nil {
			return err
		}
		emit(b)
	}
	return nil
}

func TestWrite(t *testing.T) {
	for name, cfg := range map[string]Config{
		"bundle": {},
		"linger": {Linger: 50 * time.Millisecond, MaxRows: 1000, MaxPendingBytes: 1 << 20, Site: "s", Engine: t.Name()},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, server)
			cfg.DSN = dsn
			job := engine.New(t.Name())
			if cfg.Engine != "" {
				cfg.Engine = job.Name()
			}
			if err := job.Open(); err != nil {
				t.Fatal(err)
			}
			const n = 500
			numbers := make([]int, n)
			for i := range numbers {
				numbers[i] = i
			}
			p, s := beam.NewPipelineWithRoot()
			Write(s, cfg, beam.ParDo(s, &makeRows{}, beam.CreateList(s, numbers)))
			ptest.RunAndValidate(t, p)
			if err := job.Close(); err != nil { // Prism calls no Teardown
				t.Fatal(err)
			}
			if got := scan[uint64](t, conn, "SELECT count() FROM segment_events_dedup"); got != n {
				t.Errorf("%d events, want %d", got, n)
			}
			if got := scan[uint64](t, conn, "SELECT sum(transitions) FROM persons_current"); got != 490*10+45 {
				t.Errorf("sum over the newest states %d", got)
			}
			if got := scan[uint64](t, conn, "SELECT toUInt64(count() > 0) FROM latency_dedup WHERE stage = 'record'"); (got == 1) != (cfg.Site != "") {
				t.Errorf("record latencies: %d", got)
			}
			if got := scan[int64](t, conn, "SELECT max(offset) FROM progress_current"); got != n-1 {
				t.Errorf("progress %d", got)
			}
		})
	}
}

// TestAFailedInsertFailsThePipeline: nothing is lost silently.
func TestAFailedInsertFailsThePipeline(t *testing.T) {
	dsn, conn := database(t, server)
	if err := conn.Exec(t.Context(), "DROP TABLE segment_events"); err != nil {
		t.Fatal(err)
	}
	p, s := beam.NewPipelineWithRoot()
	Write(s, Config{DSN: dsn}, beam.ParDo(s, &makeRows{}, beam.Create(s, 1, 2, 3)))
	if err := ptest.Run(p); err == nil {
		t.Fatal("the pipeline succeeds")
	}
}
