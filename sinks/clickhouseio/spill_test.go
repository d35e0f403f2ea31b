package clickhouseio

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/sinks/spillio"
)

var outage = flag.Duration("outage", 3*time.Second, "for how long ClickHouse is away in TestOutage; 10m is what the project promises")

// spillLog is a log with a topic to spill to.
func spillLog(t testing.TB, o kafkalog.Options) (*kafkalog.Log, spillio.Config) {
	t.Helper()
	log, err := kafkalog.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	cfg := spillio.Config{Brokers: strings.Join(log.Brokers(), ","), Topic: spillio.Topic("events")}
	if err := spillio.CreateTopic(t.Context(), log.Brokers(), cfg.Topic); err != nil {
		t.Fatal(err)
	}
	return log, cfg
}

// away is a ClickHouse that can be taken away.
type away struct {
	t    *testing.T
	dir  string
	port int
	s    *clickhouse.Server
	dsn  string
}

func startAway(t *testing.T) *away {
	t.Helper()
	a := &away{t: t, dir: t.TempDir()}
	a.start()
	if !a.s.Embedded() {
		t.Fatalf("this test kills its server: unset %s", clickhouse.DSNEnv)
	}
	if _, err := fmt.Sscanf(a.s.Addr(), "127.0.0.1:%d", &a.port); err != nil {
		t.Fatal(err)
	}
	a.dsn, _ = database(t, a.s)
	t.Cleanup(func() {
		a.s.Kill()
		if text, err := os.ReadFile(a.s.Log()); t.Failed() {
			t.Logf("the server's log: %s %v", text, err)
		}
	})
	return a
}

func (a *away) start() {
	a.t.Helper()
	s, err := clickhouse.Start(a.t.Context(), clickhouse.Options{Dir: a.dir, TCPPort: a.port})
	if err != nil {
		a.t.Fatal(err)
	}
	a.s = s
}

func (a *away) signal(sig syscall.Signal) {
	a.t.Helper()
	if err := syscall.Kill(a.s.PID(), sig); err != nil {
		a.t.Fatal(err)
	}
}

// resume lets a stopped server go on. The embedded one may abort then, since
// clients have hung up; whoever runs it starts it again.
func (a *away) resume() {
	a.t.Helper()
	a.signal(syscall.SIGCONT)
	a.t.Cleanup(a.s.Keep(func(err error) { a.t.Log(err) }))
}

// exec runs a statement for every table that the feed writes.
func (a *away) exec(format string) {
	a.t.Helper()
	conn, err := Dial(a.dsn)
	if err != nil {
		a.t.Fatal(err)
	}
	defer conn.Close()
	for _, table := range []string{rows.TableSegmentState, rows.TableSegmentEvents, rows.TableProgress} {
		if err := conn.Exec(a.t.Context(), fmt.Sprintf(format, table)); err != nil {
			a.t.Fatal(err)
		}
	}
}

// feed adds, as step i, two rows of state (one of them of a person that comes
// again and again), an event, and the progress that promises them.
func feed(ctx context.Context, w *Writer, i int) error {
	st, ev, pr := rows.NewSegmentStateBuilder(), rows.NewSegmentEventBuilder(), rows.NewProgressBuilder()
	st.Append(&rows.SegmentState{Site: "s", Person: fmt.Sprint(i % 50), Path: fmt.Sprint("path", i), Version: uint64(i)})
	st.Append(&rows.SegmentState{Site: "s", Person: fmt.Sprint("p", i), Path: strings.Repeat("x", i%700), Version: uint64(i)})
	ev.Append(&rows.SegmentEvent{Site: "s", Person: fmt.Sprint(i % 50), Transition: uint32(i), Node: "n", Version: uint64(i)})
	pr.Append(&rows.Progress{Site: "s", Stage: rows.StageDevice, Offset: int64(i), Version: uint64(i)})
	var batches [3]rows.Batch
	var err [3]error
	batches[0], err[0] = st.Batch(0)
	batches[1], err[1] = ev.Batch(0)
	batches[2], err[2] = pr.Batch(0)
	for n, b := range batches {
		if err[n] != nil {
			return err[n]
		}
		if err := w.Add(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// record is everything that the feed has written, as the views say it.
func record(t *testing.T, dsn string) string {
	t.Helper()
	conn, err := Dial(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var b strings.Builder
	for _, q := range []string{
		"SELECT 'states', count(), uniqExact(person), sum(cityHash64(site, person, path, version)) FROM segment_state FINAL",
		"SELECT 'events', count(), uniqExact(transition), sum(cityHash64(site, person, transition, node)) FROM segment_events_dedup",
		"SELECT 'progress', stage, offset, version FROM progress FINAL",
	} {
		b.WriteString(text(t, conn, q))
	}
	return b.String()
}

// watch looks, until stop, whether progress in ClickHouse ever promises an event
// that is not there. It returns how often it could look.
func watch(t *testing.T, dsn string, stop <-chan struct{}) (looks int) {
	conn, err := Dial(dsn)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer conn.Close()
	for {
		select {
		case <-stop:
			return looks
		case <-time.After(20 * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		var promised int64
		var there uint64
		err := conn.QueryRow(ctx, "SELECT if(count() = 0, -1, max(offset)) FROM progress").Scan(&promised)
		if err == nil {
			err = conn.QueryRow(ctx, "SELECT uniqExact(transition) FROM segment_events WHERE transition <= ?", promised).Scan(&there)
		}
		cancel()
		if err != nil {
			continue // it is away
		}
		looks++
		if there < uint64(promised+1) {
			t.Errorf("progress promises %d events, %d are there", promised+1, there)
		}
	}
}

// TestOutage: whatever keeps ClickHouse from taking rows, Add goes on within the
// bound of memory, and in the end everything is there as without a fault, with
// progress never ahead of what it promises.
func TestOutage(t *testing.T) {
	for name, fault := range map[string]struct{ begin, end func(*away) }{
		"killed": {func(a *away) { a.s.Kill() }, func(a *away) { a.start() }},
		"slow":   {func(a *away) { a.signal(syscall.SIGSTOP) }, func(a *away) { a.resume() }},
		"too many parts": {
			func(a *away) {
				a.exec("SYSTEM STOP MERGES %s")
				a.exec("ALTER TABLE %s MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1")
			},
			func(a *away) {
				a.exec("ALTER TABLE %s RESET SETTING parts_to_delay_insert, parts_to_throw_insert")
				a.exec("SYSTEM START MERGES %s")
			}},
	} {
		t.Run(name, func(t *testing.T) {
			const bound = 1 << 20
			_, topic := spillLog(t, kafkalog.Options{Dir: t.TempDir()})
			a := startAway(t)
			w := open(t, Config{DSN: a.dsn, Linger: 20 * time.Millisecond, MaxPendingBytes: bound, Spill: topic, SpillAfter: 300 * time.Millisecond, RetryFor: 500 * time.Millisecond})
			stop := make(chan struct{})
			var looks int
			var watching sync.WaitGroup
			watching.Go(func() { looks = watch(t, a.dsn, stop) })
			i, worst, heap := 0, 0, uint64(0)
			run := func(until time.Time) {
				for ; time.Now().Before(until); i++ {
					if err := feed(t.Context(), w, i); err != nil {
						t.Fatal(err)
					}
					worst = max(worst, w.Stats().PendingBytes)
					time.Sleep(time.Millisecond)
				}
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				heap = max(heap, m.HeapInuse)
			}
			run(time.Now().Add(300 * time.Millisecond))
			fault.begin(a)
			before := i
			run(time.Now().Add(*outage))
			// A machine that is busy otherwise is given the time that it needs.
			s := w.Stats()
			for patience := time.Now().Add(time.Minute); (i-before < 100 || s.Spill.Records == 0) && time.Now().Before(patience); s = w.Stats() {
				run(time.Now().Add(100 * time.Millisecond))
			}
			if i-before < 100 || s.Spill.Records == 0 || s.Spill.Rows == 0 || s.Spill.Bytes == 0 || s.Spill.Oldest.IsZero() || s.Spills == 0 {
				t.Errorf("%d steps while it was away, %+v", i-before, s)
			}
			fault.end(a)
			run(time.Now().Add(300 * time.Millisecond))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+*outage)
			defer cancel()
			if err := w.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			close(stop)
			watching.Wait()
			// What one Add brings may exceed it.
			if worst > bound+64<<10 {
				t.Errorf("%d bytes were pending, the bound is %d", worst, bound)
			}
			if s := w.Stats(); s.Spill.Records != 0 || s.Spill.Rows != 0 || !s.Spill.Oldest.IsZero() || s.Spill.Trouble != "" {
				t.Errorf("everything is inserted: %+v", s)
			}
			t.Logf("%d steps, %d while it was away; at most %d bytes pending, heap %d MB; %+v; progress looked at %d times", i, i-before, worst, heap>>20, s, looks)
			plain, _ := database(t, a.s)
			calm := open(t, Config{DSN: plain, Linger: 20 * time.Millisecond})
			for j := range i {
				if err := feed(t.Context(), calm, j); err != nil {
					t.Fatal(err)
				}
			}
			flush(t, calm)
			if got, want := record(t, a.dsn), record(t, plain); got != want {
				t.Errorf("after the outage:\n%swithout one:\n%s", got, want)
			}
			if empty(t, topic); looks == 0 {
				t.Error("progress was never looked at")
			}
		})
	}
}

// empty fails when the topic still holds something.
func empty(t *testing.T, topic spillio.Config) {
	t.Helper()
	log, err := spillio.Open(topic)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r, err := log.Range(t.Context())
	if err != nil || r.From != r.End {
		t.Errorf("the topic holds %+v, %v", r, err)
	}
}
