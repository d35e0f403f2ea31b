package clickhouseio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/sinks/spillio"
)

func steps(t *testing.T, w *Writer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := feed(t.Context(), w, i); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits until something is so; how long it takes is not tested.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s did not happen within 30 s", what)
}

// TestNextWriterBeginsWithTheSpill: a writer that ends while rows wait in the log
// leaves them to the next one, whose own progress comes after them.
func TestNextWriterBeginsWithTheSpill(t *testing.T) {
	_, topic := spillLog(t, kafkalog.Options{Dir: t.TempDir()})
	a := startAway(t)
	cfg := Config{DSN: a.dsn, Linger: 10 * time.Millisecond, Spill: topic, SpillAfter: 100 * time.Millisecond}
	a.signal(syscall.SIGSTOP)
	w := open(t, cfg)
	steps(t, w, 0, 100)
	eventually(t, "a spill", func() bool { s := w.Stats(); return s.PendingBytes == 0 && s.Spill.Records > 0 })
	left := w.Stats().Spill
	w.abandon()
	stop := make(chan struct{})
	looked := make(chan int)
	go func() { looked <- watch(t, a.dsn, stop) }()
	w = open(t, cfg)
	eventually(t, "finding what waits", func() bool { return w.Stats().Spill.Rows == left.Rows && w.Stats().Spill.Records == left.Records })
	steps(t, w, 100, 150)
	a.resume()
	flush(t, w)
	close(stop)
	<-looked
	conn, err := Dial(a.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := text(t, conn, "SELECT uniqExact(transition), (SELECT max(offset) FROM progress) FROM segment_events"); got != "150 149\n" {
		t.Errorf("events and progress: %s", got)
	}
	empty(t, topic)
}

// TestTooMuchWaits: what waits behind a slow insert is bounded by bytes, not only
// by time.
func TestTooMuchWaits(t *testing.T) {
	_, topic := spillLog(t, kafkalog.Options{})
	a := startAway(t)
	const bound = 256 << 10
	w := open(t, Config{DSN: a.dsn, Linger: 10 * time.Millisecond, Spill: topic, SpillAfter: time.Hour, MaxPendingBytes: bound})
	steps(t, w, 0, 1)
	flush(t, w)
	a.signal(syscall.SIGSTOP)
	for i := 1; i < 500; i++ {
		if err := feed(t.Context(), w, i); err != nil {
			t.Fatal(err)
		}
		if n := w.Stats().PendingBytes; n > bound+64<<10 {
			t.Fatalf("%d bytes are pending", n)
		}
	}
	if s := w.Stats(); s.Spill.Records == 0 {
		t.Errorf("nothing was spilled: %+v", s)
	}
	a.resume()
	flush(t, w)
}

// TestBothAway: with the log away, too, Add waits, and says so; nothing is lost.
func TestBothAway(t *testing.T) {
	dir := t.TempDir()
	log, topic := spillLog(t, kafkalog.Options{Dir: dir})
	a := startAway(t)
	const bound = 64 << 10
	w := open(t, Config{DSN: a.dsn, Linger: 10 * time.Millisecond, Spill: topic, SpillAfter: 100 * time.Millisecond, MaxPendingBytes: bound})
	steps(t, w, 0, 10)
	flush(t, w)
	_, port, err := net.SplitHostPort(log.Brokers()[0])
	if err != nil {
		t.Fatal(err)
	}
	log.Close()
	a.s.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	i := 10
	ended := make(chan error)
	go func() {
		for {
			if err := feed(ctx, w, i); err != nil {
				ended <- err
				return
			}
			i++
		}
	}()
	eventually(t, "a refusal of both", func() bool { s := w.Stats(); return s.Spill.Blocked != "" && s.PendingBytes >= bound })
	cancel()
	if err = <-ended; !errors.Is(err, context.Canceled) || w.Err() != nil {
		t.Fatal(err, w.Err())
	}
	// The log comes back first, then the server.
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	again, err := kafkalog.Start(kafkalog.Options{Dir: dir, Port: n})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	eventually(t, "a spill", func() bool { s := w.Stats(); return s.Spill.Records > 0 && s.Spill.Blocked == "" })
	steps(t, w, i, i+20) // the refused step is added again
	a.start()
	flush(t, w)
	conn, err := Dial(a.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n := scan[uint64](t, conn, "SELECT uniqExact(transition) FROM segment_events"); n != uint64(i+20) {
		t.Errorf("%d events, want %d", n, i+20)
	}
}

// TestWhatTheServerRefusesForGoodStays: a schema that does not fit ends the
// writer with an error that names the topic, and what waits there stays.
func TestWhatTheServerRefusesForGoodStays(t *testing.T) {
	_, topic := spillLog(t, kafkalog.Options{})
	dsn, conn := database(t, server)
	cfg := Config{DSN: dsn, Linger: 10 * time.Millisecond, Spill: topic}
	sp, err := openSpill(topic)
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.learn(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := &block{table: mustTable(rows.TableSegmentEvents)}
	p, err := decode(events(t, rows.SegmentEvent{Site: "s", Node: "n"}), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.add(p)
	if err := sp.append(t.Context(), []*block{b}); err != nil {
		t.Fatal(err)
	}
	sp.close()
	if err := conn.Exec(t.Context(), "RENAME TABLE segment_events TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	w := open(t, cfg)
	eventually(t, "the failure", func() bool { return w.Err() != nil })
	if err := w.Err(); !strings.Contains(err.Error(), topic.Topic) || Retryable(err) {
		t.Error(err)
	}
	if err := w.Close(); err == nil {
		t.Error("Close says nothing")
	}
	if err := conn.Exec(t.Context(), "RENAME TABLE elsewhere TO segment_events"); err != nil {
		t.Fatal(err)
	}
	flush(t, open(t, cfg))
	if n := scan[uint64](t, conn, "SELECT count() FROM segment_events"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func mustTable(name string) rows.Table {
	t, ok := rows.ByName(name)
	if !ok {
		panic(name)
	}
	return t
}

// TestEncodeKeepsRows: blocks of parts of any size come back row by row, in
// records that are no larger than one row makes them.
func TestEncodeKeepsRows(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		var want []string
		b := &block{table: mustTable(rows.TableSegmentEvents)}
		oldest := int64(1 << 60)
		for range 1 + r.IntN(20) {
			var rs []rows.SegmentEvent
			for range 1 + r.IntN(200) {
				node := strings.Repeat("n", r.IntN(20)) + fmt.Sprint(len(want))
				if r.IntN(50) == 0 {
					node += strings.Repeat("x", r.IntN(3*spillio.RecordBytes/2))
				}
				want = append(want, node)
				rs = append(rs, rows.SegmentEvent{Site: "s", Node: node})
			}
			batch := events(t, rs...)
			batch.Decided = 1 + r.Int64N(1<<40)
			oldest = min(oldest, batch.Decided)
			p, err := decode(batch, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			b.add(p)
		}
		var got []string
		decided := int64(1 << 60)
		err := encode(b, func(batch rows.Batch) error {
			p, err := decode(batch, time.Now())
			if err != nil {
				return err
			}
			if batch.Rows > 1 && len(batch.Data) > spillio.RecordBytes {
				t.Errorf("%d rows in %d bytes", batch.Rows, len(batch.Data))
			}
			decided = min(decided, batch.Decided)
			nodes := p.rec.Column(b.table.Column("node")).(*array.String)
			for i := range nodes.Len() {
				got = append(got, nodes.Value(i))
			}
			return nil
		})
		if err != nil || decided != oldest || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%d rows of %d, %v; decided %d, want %d", len(got), len(want), err, decided, oldest)
		}
		b.release()
	}
}
