package kafkaio

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/identity"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fetcher polls a shard's partitions without pause in the background: a client
// fetches again only when its buffer has been drained, so polling at the pace
// of the batches would add a fetch to every latency. It stops polling while
// what it holds exceeds the bound.
type fetcher struct {
	cl     *kgo.Client
	cancel context.CancelFunc
	limit  int

	mu      sync.Mutex
	ready   [][]identity.Record // as they were fetched, a partition each
	records int
	bytes   int
	err     error
	errors  uint64
	extents map[int32]*extent
	next    map[int32]int64 // position after what was taken
	arrived chan struct{}
	room    chan struct{}
}

func newFetcher(o *Options, positions []Position) (*fetcher, error) {
	at := map[int32]kgo.Offset{}
	f := &fetcher{limit: max(o.BufferBytes/o.Shards, 1<<20), extents: map[int32]*extent{}, next: map[int32]int64{},
		arrived: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	for _, p := range positions {
		at[p.Partition] = kgo.NewOffset().At(p.Next)
		f.next[p.Partition] = p.Next
		f.extents[p.Partition] = &extent{start: -1, end: -1, seen: p.Next}
	}
	var err error
	f.cl, err = kafka.New(o.Brokers, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.Topic: at}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMinBytes(1), kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMaxBytes(int32(f.limit)), kgo.FetchMaxPartitionBytes(4<<20),
		// Without control records, a partition that ends with the end of a transaction
		// would never seem to be read.
		kgo.KeepControlRecords(), kgo.KeepRetryableFetchErrors())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go f.run(ctx)
	go f.watch(ctx, o.Topic)
	return f, nil
}

func (f *fetcher) close() {
	f.cancel()
	f.cl.Close()
}

// at reports whether the fetcher goes on exactly at the positions.
func (f *fetcher) at(positions []Position) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range positions {
		if f.next[p.Partition] != p.Next {
			return false
		}
	}
	return len(positions) == len(f.next)
}

func (f *fetcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		fs := f.cl.PollFetches(ctx)
		if ctx.Err() != nil || fs.IsClientClosed() {
			return
		}
		f.put(fs)
		for f.full() {
			select {
			case <-ctx.Done():
				return
			case <-f.room:
			}
		}
	}
}

func (f *fetcher) put(fs kgo.Fetches) {
	f.mu.Lock()
	now := time.Now()
	fs.EachPartition(func(p kgo.FetchTopicPartition) {
		e := f.extents[p.Partition]
		if e == nil { // an error that is of no partition
			e = &extent{}
		}
		e.heard, e.asked = now, 0
		if p.Err != nil {
			f.err = fmt.Errorf("fetching %s/%d: %w", p.Topic, p.Partition, p.Err)
			f.errors++
			return
		}
		e.start, e.end = max(e.start, p.LogStartOffset), max(e.end, p.LastStableOffset)
		chunk := make([]identity.Record, 0, len(p.Records))
		for _, r := range p.Records {
			e.seen = r.Offset + 1
			if !r.Attrs.IsControl() {
				chunk = append(chunk, RecordOf(r))
				f.bytes += len(r.Value) + len(r.Key)
			}
		}
		if len(chunk) == 0 {
			return
		}
		f.ready = append(f.ready, chunk)
		f.records += len(chunk)
		e.waiting += len(chunk)
	})
	f.mu.Unlock()
	wake(f.arrived)
}

func (f *fetcher) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes > f.limit
}

// take removes up to n records. err is the last background failure, given once.
func (f *fetcher) take(n int) (out [][]identity.Record, err error) {
	f.mu.Lock()
	for n > 0 && len(f.ready) > 0 {
		c := f.ready[0]
		if len(c) > n {
			c, f.ready[0] = c[:n:n], c[n:]
		} else {
			f.ready[0], f.ready = nil, f.ready[1:]
		}
		n -= len(c)
		f.records -= len(c)
		for i := range c {
			f.bytes -= len(c[i].Value) + len(c[i].Key)
		}
		f.extents[c[0].Partition].waiting -= len(c)
		f.next[c[0].Partition] = c[len(c)-1].Offset + 1
		out = append(out, c)
	}
	err, f.err = f.err, nil
	f.mu.Unlock()
	wake(f.room)
	return out, err
}

// pending is how many records are ready.
func (f *fetcher) pending() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.records
}

// before is how many offsets before these ends are not taken.
func (f *fetcher) before(ends map[int32]int64) (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p, next := range f.next {
		n += max(0, ends[p]-next)
	}
	return n
}

// quiet reports whether the partition was read to its end, and whether the log
// holds nothing of it at all.
func (f *fetcher) quiet(partition int32) (drained, blank bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.extents[partition]
	return e.drained(), e.blank()
}

// Stats is what a shard's reader holds and has met.
type Stats struct {
	Shard   int
	Records int    // fetched, not yet taken
	Bytes   int    // the same
	Lag     int64  // records in the log that are not decided yet: behind the last one taken, fetched, or under way
	Errors  uint64 // failed fetches
}

func (f *fetcher) stats(shard int) Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{Shard: shard, Records: f.records, Bytes: f.bytes, Errors: f.errors}
	for p, e := range f.extents {
		if !e.drained() {
			s.Lag += max(0, e.end-f.next[p])
		}
	}
	return s
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
