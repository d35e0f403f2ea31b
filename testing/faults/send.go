package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/samples/spec"
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
	admins  []string // of their admin listeners
	key     string
	client  *http.Client
	queues  [senders]chan message
	done    sync.WaitGroup
	mu      sync.Mutex
	acked   acknowledged
	retried atomic.Int64
}

// acknowledged is what the log must have.
type acknowledged struct {
	numbers  []bool   // of events
	receipts []string // of unlinks
}

func startSender(ctx context.Context, nodes, admins []string, key string) *sender {
	s := &sender{nodes: nodes, admins: admins, key: key, client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: senders}}}
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
	node, next := i, (*message)(nil)
	for {
		var batch []message
		if batch, next = s.gather(i, next); len(batch) == 0 {
			return
		}
		for s.post(ctx, i, node%len(s.nodes), batch) != nil {
			s.retried.Add(1)
			if !loyal(i) {
				node++ // whoever does not answer is left alone for a while
			}
			select {
			case <-time.After(retryWait):
			case <-ctx.Done():
				return
			}
		}
	}
}

// gather is what waits, at least one message, beginning with the one that was
// left before; none when all is sent. An unlink goes alone.
func (s *sender) gather(i int, left *message) (batch []message, next *message) {
	if left == nil {
		m, ok := <-s.queues[i]
		if !ok {
			return nil, nil
		}
		left = &m
	}
	if batch = append(batch, *left); left.unlink {
		return batch, nil
	}
	for len(batch) < maxBatch {
		select {
		case m, ok := <-s.queues[i]:
			if !ok {
				return batch, nil
			}
			if m.unlink {
				return batch, &m
			}
			batch = append(batch, m)
		default:
			return batch, nil
		}
	}
	return batch, nil
}

// loyal reports whether a sender is a client that talks to one node only, and says
// when it sends, so that the node corrects the times of events by its own clock.
// With another node's clock an event that is sent again would have another time,
// and be a duplicate only where that of the first is not yet too late.
func loyal(i int) bool { return i < nodes }

func bodyOf(i int, batch []message) []byte {
	b := []byte("{")
	if loyal(i) {
		b = fmt.Appendf(b, `"sentAt":%q,`, spec.Time(time.Now()))
	}
	b = append(b, `"batch":[`...)
	for i, m := range batch {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.body...)
	}
	return append(b, "]}"...)
}

// post succeeds when the node has acknowledged the sender's batch, and notes that.
func (s *sender) post(ctx context.Context, i, node int, batch []message) error {
	at, body, want := s.nodes[node]+"/v1/batch", bodyOf(i, batch), http.StatusOK
	if batch[0].unlink {
		at, body, want = s.admins[node]+"/v1/identity/unlink", batch[0].body, http.StatusAccepted
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking the collector: %w", err)
	}
	if r.SetBasicAuth(s.key, ""); batch[0].unlink {
		r.Header.Set("Authorization", "Bearer "+adminKey)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("asking the collector: %w", err)
	}
	defer resp.Body.Close()
	var answer struct{ Receipt string }
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = errors.New(resp.Status)
	}
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil {
		return fmt.Errorf("reading the collector's answer: %w", err)
	}
	s.acknowledge(batch, answer.Receipt)
	return nil
}

func (s *sender) acknowledge(batch []message, receipt string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if batch[0].unlink {
		s.acked.receipts = append(s.acked.receipts, receipt)
		return
	}
	for _, m := range batch {
		for len(s.acked.numbers) <= m.number {
			s.acked.numbers = append(s.acked.numbers, make([]bool, 1+len(s.acked.numbers))...)
		}
		s.acked.numbers[m.number] = true
	}
}
