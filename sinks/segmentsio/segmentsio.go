// Package segmentsio publishes segment records to the compacted topic that
// serving nodes live on, as a Beam sink.
package segmentsio

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/segment"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says where records go. It travels with the job as JSON.
type Config struct {
	Brokers []string
	Topic   string
	Job     string // names the job: its engine in this process
	Wait    bool   // a bundle ends when the log has acknowledged its records; else the next one reports what failed
	Fence   string // not empty: one process at a time, the last that called Claim
}

// Topic is the name of the topic of segments that belongs to a topic of events.
func Topic(events string) string {
	if events == "events" {
		return "segments"
	}
	return events + "-segments"
}

// compactWithin is the time (ms) within which the log drops the records that
// newer ones, or deletions, replace: by default it may keep them for ever.
const compactWithin = "86400000"

// Fence is the transactional id of whoever writes a topic of segments for a job.
func Fence(topic string) string { return topic + "-job" }

// CreateTopic makes the compacted topic. One that exists stays as it is.
func CreateTopic(ctx context.Context, brokers []string, topic string, partitions int32) error {
	cl, err := kafka.New(brokers)
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = kafka.CreateTopic(ctx, cl, topic, partitions, map[string]string{"cleanup.policy": "compact", "max.compaction.lag.ms": compactWithin})
	return err
}

// Bounds of what waits for the log in one process.
const (
	maxBuffered      = 200_000
	maxBufferedBytes = 64 << 20
)

// Writer publishes batches. It is safe for concurrent use.
type Writer struct {
	cl        *kgo.Client
	topic     string
	failed    atomic.Pointer[error]
	published atomic.Uint64
	fence     *fence // nil: anybody may write beside it
}

// Open connects a writer that anybody may write beside.
func Open(cfg Config) (*Writer, error) { return open(cfg) }

func open(cfg Config, more ...kgo.Opt) (*Writer, error) {
	cl, err := kafka.New(cfg.Brokers, append(more, kgo.DefaultProduceTopic(cfg.Topic), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(maxBuffered), kgo.MaxBufferedBytes(maxBufferedBytes))...)
	if err != nil {
		return nil, err
	}
	return &Writer{cl: cl, topic: cfg.Topic}, nil
}

// Publish hands a batch over; the client retries for as long as it takes, and
// with too much waiting Publish does, too. It returns what has failed for good so far.
func (w *Writer) Publish(ctx context.Context, batch []byte) error {
	if err := w.Err(); err != nil {
		return err
	}
	if f := w.fence; f != nil {
		f.mu.RLock()
		defer f.mu.RUnlock()
		f.open.Store(true)
	}
	// A record may be sent after the bundle, whose context ends with it.
	ctx = context.WithoutCancel(ctx)
	err := segment.EachKeyed(batch, func(key, value []byte) {
		if len(value) == 0 {
			value = nil // forgets the key
		}
		w.cl.Produce(ctx, &kgo.Record{Key: key, Value: value}, w.done)
	})
	if err != nil {
		return fmt.Errorf("reading a batch of segment records: %w", err)
	}
	return nil
}

func (w *Writer) done(_ *kgo.Record, err error) {
	if err == nil {
		w.published.Add(1)
		return
	}
	w.fail(err)
}

// fail sets the error, once, and returns it.
func (w *Writer) fail(err error) error {
	err = fmt.Errorf("publishing to topic %q: %w", w.topic, fenced(err))
	w.failed.CompareAndSwap(nil, &err)
	return w.Err()
}

// Err is the first record's failure, nil while there is none.
func (w *Writer) Err() error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Published is how many records the log has acknowledged.
func (w *Writer) Published() uint64 { return w.published.Load() }

// Flush waits until the log has acknowledged everything, for good.
func (w *Writer) Flush(ctx context.Context) error {
	if w.fence != nil {
		return w.commit(ctx)
	}
	if err := w.cl.Flush(ctx); err != nil {
		return fmt.Errorf("publishing to topic %q: %w", w.topic, err)
	}
	return w.Err()
}

// Close flushes and disconnects.
func (w *Writer) Close(ctx context.Context) error {
	if w.fence != nil {
		w.fence.end()
	}
	err := w.Flush(ctx)
	w.cl.Close()
	return err
}

// slot holds the writer of a job in this process.
type slot struct {
	mu    sync.Mutex
	w     *Writer // nil: none
	ended bool    // no other one comes
}

func slotOf(e *engine.Engine) *slot { return engine.Part(e, func() *slot { return &slot{} }) }

// put makes w the job's writer; false: the job has ended.
func (s *slot) put(w *Writer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.w = w
	}
	return !s.ended
}

// take takes the writer out.
func (s *slot) take() *Writer {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.w
	s.w = nil
	return w
}

// Close closes the writer of a job that has not finished with it.
func (s *slot) Close() error {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	w := s.take()
	if w == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeFor)
	defer cancel()
	return w.Close(ctx)
}

// closeFor bounds how long a log that does not answer keeps a job from ending.
const closeFor = 30 * time.Second

func acquire(e *engine.Engine, cfg Config) (*Writer, error) {
	s := slotOf(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.w != nil:
		return s.w, nil
	case s.ended:
		return nil, &engine.UnknownError{Name: e.Name()}
	case cfg.Fence != "":
		return nil, fmt.Errorf("publishing to topic %q: this process has not claimed it, or has finished", cfg.Topic)
	}
	w, err := Open(cfg)
	if err == nil {
		s.w = w
	}
	return w, err
}

// Of is the job's writer in this process, nil if there is none.
func Of(e *engine.Engine) *Writer {
	s := engine.Look[slot](e)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w
}

// Finish flushes and closes the job's writer in this process.
func Finish(ctx context.Context, e *engine.Engine) error {
	s := engine.Look[slot](e)
	if s == nil {
		return nil
	}
	w := s.take()
	if w == nil {
		return nil
	}
	return w.Close(ctx)
}
