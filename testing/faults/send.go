package faults

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what a client has under way.
const (
	senders   = 8
	maxBatch  = 100
	queue     = 150 // messages that wait for one sender: with one that waits, all soon do
	retryWait = 150 * time.Millisecond
	patience  = 10 * time.Second // for an answer
)

// sender sends messages through the collectors until each is acknowledged.
type sender struct {
	nodes   []string // base URLs
	key     string
	client  *http.Client
	queues  [senders]chan message
	done    sync.WaitGroup
	mu      sync.Mutex
	acked   []bool // by number
	retried atomic.Int64
	taken   atomic.Int64 // messages acknowledged
}

func startSender(ctx context.Context, nodes []string, key string) *sender {
	s := &sender{nodes: nodes, key: key, client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: senders}}}
	for i := range s.queues {
		s.queues[i] = make(chan message, queue)
		s.done.Add(1)
		go func() { defer s.done.Done(); s.work(ctx, i) }()
	}
	return s
}

// send queues a message; those of a device go one after the other.
func (s *sender) send(ctx context.Context, m message) error {
	h := fnv.New32a()
	h.Write([]byte(m.device))
	select {
	case s.queues[h.Sum32()%senders] <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish waits until everything is acknowledged or the context ends.
func (s *sender) finish() {
	for _, q := range s.queues {
		close(q)
	}
	s.done.Wait()
	s.client.CloseIdleConnections()
}

func (s *sender) work(ctx context.Context, i int) {
	node := i
	for {
		batch := s.gather(i)
		if len(batch) == 0 {
			return
		}
		body := bodyOf(batch)
		for s.post(ctx, s.nodes[node%len(s.nodes)], body) != nil {
			s.retried.Add(1)
			node++ // whoever does not answer is left alone for a while
			select {
			case <-time.After(retryWait):
			case <-ctx.Done():
				return
			}
		}
		s.acknowledge(batch)
	}
}

// gather is what waits, at least one message; none when all is sent.
func (s *sender) gather(i int) (batch []message) {
	m, ok := <-s.queues[i]
	for ok {
		if batch = append(batch, m); len(batch) == maxBatch {
			return batch
		}
		select {
		case m, ok = <-s.queues[i]:
		default:
			return batch
		}
	}
	return batch
}

func bodyOf(batch []message) []byte {
	b := []byte(`{"batch":[`)
	for i, m := range batch {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.body...)
	}
	return append(b, "]}"...)
}

// post succeeds when the node has acknowledged the batch.
func (s *sender) post(ctx context.Context, node string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, node+"/v1/batch", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking the collector: %w", err)
	}
	r.SetBasicAuth(s.key, "")
	resp, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("asking the collector: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("reading the collector's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the collector answers %s", resp.Status)
	}
	return nil
}

func (s *sender) acknowledge(batch []message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range batch {
		for len(s.acked) <= m.number {
			s.acked = append(s.acked, make([]bool, 1+len(s.acked))...)
		}
		s.acked[m.number] = true
	}
	s.taken.Add(int64(len(batch)))
}
