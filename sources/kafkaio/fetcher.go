package kafkaio

import (
	"context"
	"fmt"
	"sync"
	"time"

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
	ends    map[int32]int64 // high watermark: the offset after the last record
	next    map[int32]int64 // position after what was taken
	arrived chan struct{}
	room    chan struct{}
}

func newFetcher(o *Options, positions []Position) (*fetcher, error) {
	at := map[int32]kgo.Offset{}
	f := &fetcher{limit: max(o.BufferBytes/o.Shards, 1<<20), ends: map[int32]int64{}, next: map[int32]int64{},
		arrived: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	for _, p := range positions {
		at[p.Partition] = kgo.NewOffset().At(p.Next)
		f.next[p.Partition] = p.Next
		f.ends[p.Partition] = -1
	}
	var err error
	f.cl, err = kgo.NewClient(kgo.SeedBrokers(o.Brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.Topic: at}),
		kgo.FetchMinBytes(1), kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMaxBytes(int32(f.limit)), kgo.FetchMaxPartitionBytes(4<<20),
		kgo.KeepRetryableFetchErrors())
	if err != nil {
		return nil, fmt.Errorf("connecting to the log at %v: %w", o.Brokers, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go f.run(ctx)
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
	fs.EachPartition(func(p kgo.FetchTopicPartition) {
		if p.Err != nil {
			f.err = fmt.Errorf("fetching %s/%d: %w", p.Topic, p.Partition, p.Err)
			f.errors++
			return
		}
		f.ends[p.Partition] = p.HighWatermark
		if len(p.Records) == 0 {
			return
		}
		chunk := make([]identity.Record, len(p.Records))
		for i, r := range p.Records {
			chunk[i] = record(r)
			f.bytes += len(r.Value) + len(r.Key)
		}
		f.ready = append(f.ready, chunk)
		f.records += len(chunk)
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

// drained reports whether the partition was read to its end. Before the first
// fetch answered nobody knows, and the answer is no.
func (f *fetcher) drained(partition int32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ends[partition] >= 0 && f.next[partition] >= f.ends[partition]
}

// Stats is what a shard's reader holds and has met.
type Stats struct {
	Shard   int
	Records int    // fetched, not yet taken
	Bytes   int    // the same
	Lag     int64  // records in the log behind the last one taken
	Errors  uint64 // failed fetches
}

func (f *fetcher) stats(shard int) Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{Shard: shard, Records: f.records, Bytes: f.bytes, Errors: f.errors}
	for p, end := range f.ends {
		s.Lag += max(0, end-f.next[p])
	}
	return s
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
