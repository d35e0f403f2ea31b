package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/measure/usage"
	"github.com/microseg/microseg/samples/simulate"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/testing/harness/child"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	startTimeout = 2 * time.Minute  // to the first update
	settle       = 5 * time.Second  // from the last event until idle counts
	idleFor      = 10 * time.Second // is watched
)

// offering makes events at a pace, and reads what comes of them.
type offering struct {
	*bed
	p               *child.Process // that reads the one and writes the other
	clickhouse      int            // its PID; 0: there is none
	events, updates string
	read            func(key, value []byte) (visitor string, newest int64)
	made            []atomic.Int64 // wall clock of the newest event by visitor, µs
	seen            []int64        // newest event of the last update by visitor, ms
	first           chan struct{}  // closed at the first update
	counts          atomic.Bool    // latencies count now
	taken           []float64      // ms
}

// offer measures a process that reads events and writes updates, of which read tells the
// visitor and the time of the newest event.
func (b *bed) offer(ctx context.Context, p *child.Process, clickhouse int, events, updates string, read func(key, value []byte) (string, int64)) (l latency, err error) {
	o := &offering{bed: b, p: p, clickhouse: clickhouse, events: events, updates: updates, read: read,
		made: make([]atomic.Int64, b.Visitors), seen: make([]int64, b.Visitors), first: make(chan struct{})}
	ctx, fail := context.WithCancelCause(ctx)
	making, enough := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	run := func(ctx context.Context, f func(context.Context) error) {
		tasks.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				fail(err)
			}
		})
	}
	run(making, o.make)
	run(ctx, o.watch)
	if err = o.ready(ctx); err == nil {
		err = o.busy(ctx, &l)
	}
	enough()
	if err == nil {
		err = o.idle(ctx, &l)
	}
	fail(nil)
	tasks.Wait()
	if err == nil && len(o.taken) == 0 {
		err = fmt.Errorf("no updates came; the end of its log:\n%s", p.Log())
	}
	if err != nil {
		return l, err
	}
	slices.Sort(o.taken)
	l.Updates, l.P50, l.P99 = len(o.taken), o.taken[len(o.taken)/2], o.taken[len(o.taken)*99/100]
	return l, nil
}

// ready waits for the first update.
func (o *offering) ready(ctx context.Context) error {
	select {
	case <-o.first:
		return nil
	case <-time.After(startTimeout):
		return fmt.Errorf("no update within %v; the end of its log:\n%s", startTimeout, o.p.Log())
	case <-o.p.Exited():
		return o.ended()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (o *offering) ended() error { return fmt.Errorf("it ended; the end of its log:\n%s", o.p.Log()) }

func (o *offering) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-o.p.Exited():
		return o.ended()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// busy measures under load, after the warm-up.
func (o *offering) busy(ctx context.Context, l *latency) error {
	if err := o.pause(ctx, o.WarmUp); err != nil {
		return err
	}
	pids := []int{o.broker.PID(), o.p.PID(), o.clickhouse}
	cpu, ch, all := usage.CPUOf(o.p.PID()), usage.CPUOf(o.clickhouse), use(pids...)
	o.counts.Store(true)
	err := o.pause(ctx, o.Duration)
	o.counts.Store(false)
	now := use(pids...)
	s := now.at.Sub(all.at).Seconds()
	l.Cores, l.ClickHouse, l.Others = (usage.CPUOf(o.p.PID())-cpu)/s, (usage.CPUOf(o.clickhouse)-ch)/s, all.others(now)
	return err
}

// idle measures what the process uses while nothing comes.
func (o *offering) idle(ctx context.Context, l *latency) error {
	if err := o.pause(ctx, settle); err != nil {
		return err
	}
	cpu, start := usage.CPUOf(o.p.PID()), time.Now()
	err := o.pause(ctx, idleFor)
	l.IdlePct = 100 * (usage.CPUOf(o.p.PID()) - cpu) / time.Since(start).Seconds()
	return err
}

// make sends events whose timestamps are the present.
func (o *offering) make(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.brokers...), kgo.DefaultProduceTopic(o.events), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		return fmt.Errorf("connecting to the log: %w", err)
	}
	defer cl.Close()
	failed := make(chan error, 1)
	start, n := time.Now(), 0
	load := simulate.LoadOptions{Seed: 3, Visitors: o.Visitors, Events: 1 << 40, Start: start, RatePerSecond: float64(o.Rate), Zipf: 1.1, Head: 100}
	return simulate.Load(load, func(key, value []byte) error {
		// A pause for each event would be late by more than it lasts.
		if due := start.Add(time.Duration(float64(n) / float64(o.Rate) * float64(time.Second))); time.Until(due) > time.Millisecond {
			time.Sleep(time.Until(due))
		}
		n++
		visitor, err := number(key)
		if err != nil {
			return err
		}
		now := time.Now()
		value = stamp(bytes.Clone(value), now)
		o.made[visitor].Store(now.UnixMicro())
		cl.Produce(ctx, &kgo.Record{Key: bytes.Clone(key), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
		select {
		case err := <-failed:
			return fmt.Errorf("sending events: %w", err)
		default:
			return ctx.Err()
		}
	})
}

// stamp writes the present over an event's timestamp, which has the same length.
func stamp(value []byte, now time.Time) []byte {
	const before = `"timestamp":"`
	if at := bytes.Index(value, []byte(before)); at >= 0 {
		// Not in its place: the library writes further than it says.
		copy(value[at+len(before):], now.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	return value
}

// number is a visitor's, from its id.
func number(id []byte) (int, error) {
	return strconv.Atoi(string(bytes.TrimPrefix(id, []byte("sim-load-"))))
}

// watch reads updates as serving nodes do: what is written, also within a transaction,
// which is open for a minute and there to shut older processes out.
func (o *offering) watch(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.brokers...), kgo.ConsumeTopics(o.updates), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return fmt.Errorf("connecting to the log: %w", err)
	}
	defer cl.Close()
	for ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading updates: %w", err)
		}
		now := time.Now().UnixMicro()
		fetches.EachRecord(func(r *kgo.Record) { o.take(r.Key, r.Value, now) })
	}
	return nil
}

// take counts an update, unless it is about an event that had one before: such a one is
// of time alone.
func (o *offering) take(key, value []byte, now int64) {
	id, newest := o.read(key, value)
	visitor, err := number([]byte(id))
	if err != nil || newest <= o.seen[visitor] {
		return
	}
	if o.seen[visitor] = newest; !o.counts.Load() {
		select {
		case <-o.first:
		default:
			close(o.first)
		}
		return
	}
	made := o.made[visitor].Load()
	if made/1000 != newest { // the visitor has had another event since
		made = newest*1000 + 500
	}
	o.taken = append(o.taken, float64(now-made)/1000)
}

// readUpdate reads an update of a peer.
func readUpdate(key, value []byte) (string, int64) {
	_, rest, _ := bytes.Cut(value, []byte(`"newest":`))
	digits, _, _ := bytes.Cut(rest, []byte(","))
	newest, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return "", 0
	}
	return string(key), newest
}

// readRecord reads a record of microseg's topic of segments, if the newest event changed
// the path. Others come when something that rules read has changed, or with a row of the
// record, at their own time.
func readRecord(key, value []byte) (string, int64) {
	device, ok := bytes.CutPrefix(key, []byte("d:"))
	var r segment.Record
	if !ok || len(value) == 0 || r.Read(value) != nil || r.Since != r.Last {
		return "", 0
	}
	return string(device), r.Last
}
