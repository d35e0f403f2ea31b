package kafkaio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Rekeyer copies a topic of events, however its records are keyed and partitioned,
// into one that has those of each device in one partition.
//
// A copy states which record it is of, and the device stage takes each once. So it
// does no harm when records are copied again after a crash, nor when two processes
// copy at once: of each partition the records come in their order, or again from an
// earlier one on. What comes from several partitions is put in order by their data
// clocks, the one that is behind first: who copies a backlog must not let one
// partition's time run ahead, or what is in the others is late.
type Rekeyer struct {
	Brokers []string
	Events  string // topic that is read
	Event   event.Config

	mu    sync.Mutex
	stats RekeyStats
}

// RekeyStats is what a rekeyer has done.
type RekeyStats struct {
	Copied uint64 // records
	Lag    int64  // records that are not yet copied
	Err    error  // why it does not go on at present
}

// Stats returns the counts so far.
func (k *Rekeyer) Stats() RekeyStats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stats
}

// commitEvery is how often the position is kept: so much is copied again after a crash.
const commitEvery = time.Second

// retryAfter is how long a rekeyer waits when the log does not answer.
const retryAfter = time.Second

// Run copies until the context ends.
func (k *Rekeyer) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := k.copy(ctx)
		if ctx.Err() != nil {
			return
		}
		slog.Warn("copying the events by device, will go on", "topic", k.Events, "err", err)
		k.note(func(s *RekeyStats) { s.Err = err })
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

func (k *Rekeyer) note(f func(*RekeyStats)) {
	k.mu.Lock()
	f(&k.stats)
	k.mu.Unlock()
}

// queue is what was fetched of a partition and not yet copied.
type queue struct {
	records []*kgo.Record
	times   []int64 // event times of the records, 0 where they cannot be read
	arrived []time.Time
	keys    []string
	next    int64 // offset behind the last record that was fetched
	done    int64 // offset behind the last one that was copied
	clock   int64 // newest event time of those that were copied
	paused  bool
}

// maxQueued is how many records of a partition wait, while others have earlier ones.
const maxQueued = 50_000

// copying is one connection's work.
type copying struct {
	*Rekeyer
	cl      *kgo.Client
	adm     *kadm.Client
	decoder *event.Decoder
	parts   map[int32]*queue
	to      string
	n       int32 // partitions of to
	failed  chan error
	kept    time.Time
	dirty   bool

	looked  time.Time // when the partitions were asked for their ends
	settled int64     // newest event time of what was copied and is settled
	front   int64     // newest event time of what was copied
	ahead   []mark    // of what was copied, and is not settled
	holding bool
}

// mark is how far the copies' event time had come when records arrived.
type mark struct {
	at    time.Time
	front int64
}

// A burst (hours of event time in milliseconds of the log's) may be in one partition a
// moment before its neighbours are in others. So event time goes on by holdStep at the
// most before the partitions were asked for their ends once more, settleAfter later.
// Live traffic does not notice.
const (
	holdStep    = 2 * 60_000 // ms
	settleAfter = 300 * time.Millisecond
	holdLook    = 20 * time.Millisecond
)

// copy copies until something fails; it begins where the last one had come.
func (k *Rekeyer) copy(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &copying{Rekeyer: k, parts: map[int32]*queue{}, to: KeyedTopic(k.Events), failed: make(chan error, 1), kept: time.Now()}
	var err error
	if c.decoder, err = event.NewDecoder(k.Event); err != nil {
		return err
	}
	if c.n, err = Partitions(ctx, k.Brokers, c.to); err != nil {
		return err
	}
	// A producer that gave a record up and went on would leave a hole that nobody sees.
	c.cl, err = kafka.New(k.Brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.StopProducerOnDataLossDetected(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(500*time.Millisecond), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		return err
	}
	defer c.cl.Close()
	c.adm = kafka.Admin(c.cl)
	for {
		ends, err := c.look(ctx)
		if err != nil {
			return err
		}
		c.merge(ctx, ends)
		select {
		case err := <-c.failed:
			return err
		default:
		}
		if err := c.keep(ctx); err != nil {
			return err
		}
		c.fetch(ctx)
		if ctx.Err() != nil {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryAfter)
			defer cancel()
			c.kept = time.Time{}
			return errors.Join(ctx.Err(), c.keep(end))
		}
	}
}

// look asks where the partitions end, and takes in those that are new.
func (c *copying) look(ctx context.Context) (map[int32]int64, error) {
	c.looked = time.Now()
	starts, ends, err := c.bounds(ctx)
	if err != nil {
		return nil, err
	}
	if len(ends) > len(c.parts) {
		at, err := copiedTo(ctx, c.adm, c.Events)
		if err != nil {
			return nil, err
		}
		add := map[int32]kgo.Offset{}
		for p := range ends {
			if c.parts[p] == nil {
				from := max(at[p], starts[p])
				c.parts[p], add[p] = &queue{next: from, done: from}, kgo.NewOffset().At(from)
			}
		}
		c.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{c.Events: add})
	}
	for len(c.ahead) > 0 && c.ahead[0].at.Before(c.looked.Add(-settleAfter)) {
		c.settled, c.ahead = max(c.settled, c.ahead[0].front), c.ahead[1:]
	}
	lag := int64(0)
	for p, q := range c.parts {
		if len(q.records) == 0 {
			q.next = max(q.next, starts[p]) // what the log has dropped does not come
			q.done = q.next
		}
		lag += max(0, ends[p]-q.done)
	}
	c.note(func(s *RekeyStats) { s.Lag, s.Err = lag, nil })
	return ends, nil
}

func (c *copying) bounds(ctx context.Context) (starts, ends map[int32]int64, err error) {
	starts, ends = map[int32]int64{}, map[int32]int64{}
	for into, list := range map[*map[int32]int64]func(context.Context, ...string) (kadm.ListedOffsets, error){&starts: c.adm.ListStartOffsets, &ends: c.adm.ListCommittedOffsets} {
		l, err := list(ctx, c.Events)
		if err == nil {
			err = l.Error()
		}
		if err != nil {
			return nil, nil, fmt.Errorf("asking where topic %q begins and ends: %w", c.Events, err)
		}
		l.Each(func(o kadm.ListedOffset) { (*into)[o.Partition] = o.Offset })
	}
	return starts, ends, nil
}

// lookAgain is how long a rekeyer waits for records before it looks for partitions
// that were added.
const lookAgain = 500 * time.Millisecond

// fetch waits for records and queues them.
func (c *copying) fetch(ctx context.Context) {
	for p, q := range c.parts {
		if full := len(q.records) > maxQueued; full != q.paused {
			if q.paused = full; full {
				c.cl.PauseFetchPartitions(map[string][]int32{c.Events: {p}})
			} else {
				c.cl.ResumeFetchPartitions(map[string][]int32{c.Events: {p}})
			}
		}
	}
	patience := lookAgain
	if c.holding {
		patience = holdLook
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	fs := c.cl.PollFetches(wait)
	now := time.Now()
	for it := fs.RecordIter(); !it.Done(); {
		r := it.Next()
		q := c.parts[r.Partition]
		q.next = r.Offset + 1
		if r.Attrs.IsControl() {
			if len(q.records) == 0 {
				q.done = q.next
			}
			continue
		}
		var e event.Event
		err := c.decoder.Decode(r.Value, event.Unstated, r.Timestamp.UnixMilli(), &e)
		if err != nil || e.Kind.Control() {
			e.Time = 0
		}
		q.records, q.times, q.keys, q.arrived = append(q.records, r), append(q.times, e.Time), append(q.keys, event.Key(e.Device)), append(q.arrived, now)
	}
	fs.EachError(func(_ string, p int32, err error) {
		if ctx.Err() == nil && wait.Err() == nil {
			c.fail(fmt.Errorf("fetching %s/%d: %w", c.Events, p, err))
		}
	})
}

func (c *copying) fail(err error) {
	select {
	case c.failed <- err:
	default:
	}
}

// merge copies what is queued in the order of the records' times, until a partition
// that has more is without any.
func (c *copying) merge(ctx context.Context, ends map[int32]int64) {
	copied := 0
	c.holding = false
	for {
		var from *queue
		for p, q := range c.parts {
			if len(q.records) == 0 {
				if q.next < ends[p] {
					from = nil
					break
				}
				continue
			}
			if from == nil || q.before(from) {
				from = q
			}
		}
		if from == nil {
			break
		}
		if from.times[0] > c.settled+holdStep {
			if from.arrived[0].After(c.looked.Add(-settleAfter)) {
				c.holding = true
				break
			}
			c.settled = from.times[0]
		}
		c.send(ctx, from)
		copied++
	}
	if copied > 0 {
		c.dirty = true
		c.ahead = append(c.ahead, mark{time.Now(), c.front})
		c.note(func(s *RekeyStats) { s.Copied += uint64(copied) })
	}
}

// before reports whether the first record of q comes before that of o: that of the
// partition whose data clock is behind. A burst has one time of the log for many records,
// so those times say less.
func (q *queue) before(o *queue) bool {
	a, b := q.records[0], o.records[0]
	return cmp.Or(cmp.Compare(max(q.clock, q.times[0]), max(o.clock, o.times[0])), a.Timestamp.Compare(b.Timestamp), cmp.Compare(a.Partition, b.Partition)) < 0
}

// maxCopied is the size of a record, in bytes, above which its copy is a refusal:
// with its header it could be longer than the log takes.
const maxCopied = 1_000_000 - 1024

// send copies the first record of the queue. One without a device stays in its
// partition, for the dead letters.
func (c *copying) send(ctx context.Context, q *queue) {
	r, key := q.records[0], q.keys[0]
	q.clock, c.front = max(q.clock, q.times[0]), max(c.front, q.times[0])
	q.records, q.times, q.keys, q.arrived = q.records[1:], q.times[1:], q.keys[1:], q.arrived[1:]
	q.done = r.Offset + 1
	out := &kgo.Record{Topic: c.to, Partition: r.Partition % c.n, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp,
		Headers: []kgo.RecordHeader{{Key: originHeader, Value: []byte(identity.Origin{Partition: r.Partition, Offset: r.Offset}.String())}}}
	for _, h := range r.Headers {
		if h.Key == event.TrustHeader {
			out.Headers = append(out.Headers, h)
		}
	}
	if key != "" {
		out.Key, out.Partition = []byte(key), event.Partition(key, c.n)
	}
	if len(r.Value) > maxCopied {
		out.Value = (&event.Rejected{Reason: event.Oversized, Detail: fmt.Sprintf("%d bytes are more than a copy takes", len(r.Value)), Raw: r.Value[:4096]}).Append(nil, r.Timestamp.UTC().Format(time.RFC3339Nano))
	}
	c.cl.Produce(context.WithoutCancel(ctx), out, func(_ *kgo.Record, err error) {
		if err != nil {
			c.fail(fmt.Errorf("writing to topic %q: %w", c.to, err))
		}
	})
}

// keep notes how far everything is copied, now and then.
func (c *copying) keep(ctx context.Context) error {
	if !c.dirty || time.Since(c.kept) < commitEvery {
		return nil
	}
	if err := c.cl.Flush(ctx); err != nil {
		return fmt.Errorf("writing to topic %q: %w", c.to, err)
	}
	select {
	case err := <-c.failed:
		return err
	default:
	}
	var at kadm.Offsets
	for p, q := range c.parts {
		at.AddOffset(c.Events, p, q.done, -1)
	}
	if err := c.adm.CommitAllOffsets(ctx, Copier(c.to), at); err != nil {
		return fmt.Errorf("noting how far topic %q is copied: %w", c.Events, err)
	}
	c.kept, c.dirty = time.Now(), false
	return nil
}
