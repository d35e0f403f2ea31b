package faults

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/twmb/franz-go/pkg/kgo"
)

// watcher reads the topic of segments as it is written, so that nothing is
// compacted away before it was seen, and remembers what somebody who follows
// it, the newest of each key, has been told.
type watcher struct {
	cl     *kgo.Client
	done   chan struct{} // closed when nothing is read any more
	mu     sync.Mutex
	err    error
	next   map[int32]int64
	told   map[string]*told // by key
	writes int
}

// told is what was said of a person.
type told struct {
	stamp   segment.Stamp
	pointer string  // whom the key points to now; empty: nobody
	gone    bool    // the key was forgotten
	visible []place // every place that was the newest at some time
}

// place is where a person has been since a time.
type place struct {
	since int64
	path  string
}

func watch(ctx context.Context, brokers []string) (*watcher, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(segmentsio.Topic(topic)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		return nil, fmt.Errorf("connecting to the log: %w", err)
	}
	w := &watcher{cl: cl, done: make(chan struct{}), next: map[int32]int64{}, told: map[string]*told{}}
	go w.run(ctx)
	return w, nil
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.done)
	for ctx.Err() == nil {
		fs := w.cl.PollFetches(ctx) // errors of a log that is away pass
		if fs.IsClientClosed() {
			return
		}
		w.mu.Lock()
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Attrs.IsControl() {
				w.next[r.Partition] = r.Offset + 1
				continue
			}
			if err := w.take(r); err != nil && w.err == nil {
				w.err = fmt.Errorf("reading %s/%d at %d: %w", r.Topic, r.Partition, r.Offset, err)
			}
			w.next[r.Partition] = r.Offset + 1
		}
		w.mu.Unlock()
	}
}

func (w *watcher) take(r *kgo.Record) error {
	key := string(r.Key)
	if key == segment.ActiveKey {
		return nil
	}
	w.writes++
	k := w.told[key]
	if k == nil {
		k = &told{}
		w.told[key] = k
	}
	if k.gone = len(r.Value) == 0; k.gone {
		*k = told{gone: true, visible: k.visible}
		return nil
	}
	stamp, err := segment.StampOf(r.Value)
	if err != nil {
		return err
	}
	if stamp.Before(k.stamp) {
		return nil // a reader has a newer one
	}
	var rec segment.Record
	if err := rec.Read(r.Value); err != nil {
		return err
	}
	k.stamp, k.pointer = stamp, rec.User
	if p := (place{rec.Since, rec.Path}); rec.User == "" && (len(k.visible) == 0 || k.visible[len(k.visible)-1] != p) {
		k.visible = append(k.visible, p)
	}
	return nil
}

// finish reads to the present end and stops.
func (w *watcher) finish(ctx context.Context, brokers []string) error {
	defer func() { w.cl.Close(); <-w.done }()
	want, err := ends(ctx, brokers, segmentsio.Topic(topic))
	if err != nil {
		return err
	}
	for {
		w.mu.Lock()
		behind, err := false, w.err
		for p, end := range want {
			behind = behind || w.next[p] < end
		}
		w.mu.Unlock()
		if err != nil || !behind {
			return err
		}
		pause(ctx, 50*time.Millisecond)
		if ctx.Err() != nil {
			return fmt.Errorf("reading the segments to their end: %w", ctx.Err())
		}
	}
}
