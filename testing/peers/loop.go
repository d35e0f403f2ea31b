package peers

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options are what both jobs are told.
type Options struct {
	Brokers []string
	Events  string // the topic that is read, from its start
	Updates string // the topic that is written
	Bounded bool   // end where the topic ends now
	Quick   bool   // write an update at once, not in larger batches
	// Progress is told how many records have been folded, now and then; it may be called
	// by several goroutines at once.
	Progress func(records int64)
}

// Loop is the plain loop: one goroutine a partition, the visitors in a map. It ends with
// the context, or at the topic's end.
func Loop(ctx context.Context, o Options) (err error) {
	linger := 5 * time.Millisecond
	if o.Quick {
		linger = 0
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.Brokers...), kgo.ConsumeTopics(o.Events), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.ProducerLinger(linger), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(100_000),
		kgo.FetchMaxPartitionBytes(4<<20), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return fmt.Errorf("connecting to the log: %w", err)
	}
	defer cl.Close()
	l := &loop{Options: o, cl: cl}
	ctx, l.fail = context.WithCancelCause(ctx)
	defer l.fail(nil)
	ends, err := l.ends(ctx)
	if err != nil {
		return err
	}
	l.poll(ctx, ends)
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("writing the updates: %w", err)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}

type loop struct {
	Options
	cl      *kgo.Client
	fail    context.CancelCauseFunc
	folded  atomic.Int64
	workers sync.WaitGroup
}

// ends are the topic's, of the partitions that have records.
func (l *loop) ends(ctx context.Context) (map[int32]int64, error) {
	adm := kadm.NewClient(l.cl)
	starts, err := adm.ListStartOffsets(ctx, l.Events)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the start of %q: %w", l.Events, err)
	}
	ends, err := adm.ListEndOffsets(ctx, l.Events)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the end of %q: %w", l.Events, err)
	}
	out := map[int32]int64{}
	ends.Each(func(e kadm.ListedOffset) {
		if s, ok := starts.Lookup(l.Events, e.Partition); ok && e.Offset > s.Offset {
			out[e.Partition] = e.Offset
		}
	})
	return out, nil
}

// poll hands what comes to the goroutines of the partitions, until the context or the
// topic ends.
func (l *loop) poll(ctx context.Context, ends map[int32]int64) {
	parts := map[int32]chan []*kgo.Record{}
	for !l.Bounded || len(ends) > 0 {
		fetches := l.cl.PollFetches(ctx)
		if ctx.Err() != nil {
			break
		}
		for _, e := range fetches.Errors() {
			l.fail(fmt.Errorf("reading partition %d of %q: %w", e.Partition, e.Topic, e.Err))
		}
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			to := parts[f.Partition]
			if to == nil {
				to = make(chan []*kgo.Record, 4)
				parts[f.Partition] = to
				l.workers.Go(func() { l.fold(ctx, to) })
			}
			select {
			case to <- f.Records:
			case <-ctx.Done():
			}
			if n := len(f.Records); n > 0 && f.Records[n-1].Offset+1 >= ends[f.Partition] {
				delete(ends, f.Partition)
			}
		})
	}
	for _, c := range parts {
		close(c)
	}
	l.workers.Wait()
}

// fold is the goroutine of a partition.
func (l *loop) fold(ctx context.Context, in <-chan []*kgo.Record) {
	p := &partition{visitors: map[string]*visitor{}, newest: math.MinInt64}
	written := func(_ *kgo.Record, err error) {
		if err != nil {
			l.fail(fmt.Errorf("writing an update: %w", err))
		}
	}
	out := func(v *visitor, t int64) {
		r := &kgo.Record{Topic: l.Updates, Key: v.name}
		if v.newest > 0 { // else the visitor is forgotten, and so is the key
			r.Value = v.appendUpdate(make([]byte, 0, 320), t)
		}
		l.cl.Produce(ctx, r, written)
	}
	for records := range in {
		for _, r := range records {
			p.take(r.Value, out)
		}
		n := l.folded.Add(int64(len(records)))
		if l.Progress != nil {
			l.Progress(n)
		}
	}
}

// partition is what a goroutine keeps.
type partition struct {
	r        reader
	visitors map[string]*visitor
	timers   timers
	newest   int64 // event time
}

// take folds a record's value. What is no event is left out.
func (p *partition) take(value []byte, out func(*visitor, int64)) {
	e, err := p.r.read(value)
	if err != nil {
		return
	}
	v := p.visitors[string(e.visitor)]
	if v == nil {
		v = &visitor{name: append([]byte(nil), e.visitor...)}
		p.visitors[string(v.name)] = v
	}
	v.apply(e, out)
	p.arm(v)
	if e.at > p.newest {
		p.newest = e.at
		p.fire(out)
	}
}

// arm sets the visitor's timer, where none that is set comes as early.
func (p *partition) arm(v *visitor) {
	if w := v.wake(); w > 0 && (v.armed == 0 || w < v.armed) {
		v.armed = w
		heap.Push(&p.timers, timer{w, v})
	}
}

// fire runs the timers that the watermark has passed.
func (p *partition) fire(out func(*visitor, int64)) {
	for len(p.timers) > 0 && p.timers[0].at < p.newest-disorder {
		t := heap.Pop(&p.timers).(timer)
		if t.at == t.v.armed {
			t.v.armed = 0
		}
		t.v.advance(t.at, out)
		if t.v.newest == 0 {
			if p.visitors[string(t.v.name)] == t.v {
				delete(p.visitors, string(t.v.name))
			}
			continue
		}
		p.arm(t.v)
	}
}

// timer is of a visitor, at a time.
type timer struct {
	at int64
	v  *visitor
}

// timers are a heap by time.
type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at < t[j].at }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)        { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	last := len(*t) - 1
	x := (*t)[last]
	*t = (*t)[:last]
	return x
}
