package faults

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// every is how often progress is looked at, and so how exact recovery times are.
const every = 200 * time.Millisecond

// progress watches how far the job has recorded the log, and how long it takes
// to get on after a restart: from the new start to the first offset that was
// not recorded before (of a node: until it is ready).
type progress struct {
	conn   driver.Conn
	client *http.Client
	urls   []string

	mu      sync.Mutex
	highest int64 // offsets of all partitions, summed
	end     int64 // the same of the log, once nothing is sent any more; 0 before
	pending []recovery
	took    map[string][]time.Duration
}

// recovery is a restart after which nothing new is recorded yet.
type recovery struct {
	kind  string
	node  int
	since time.Time
	at    int64
}

func newProgress(conn driver.Conn, urls []string) *progress {
	return &progress{conn: conn, client: &http.Client{Timeout: time.Second}, urls: urls, took: map[string][]time.Duration{}}
}

// run looks until the context ends.
func (p *progress) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, every)
		recorded := p.recorded(ctx)
		p.mu.Lock()
		p.highest = max(p.highest, recorded)
		waiting := p.pending
		p.pending = nil
		p.mu.Unlock()
		for _, r := range waiting {
			p.settle(ctx, r, recorded)
		}
	}
}

// settle notes a recovery that is over and keeps one that is not.
func (p *progress) settle(ctx context.Context, r recovery, recorded int64) {
	ready := r.kind == kindNode && p.ready(ctx, r.node) == nil
	p.mu.Lock()
	defer p.mu.Unlock()
	over := recorded > r.at || p.end > 0 && recorded == p.end
	if r.kind == kindNode {
		over = ready
	}
	if over {
		p.took[r.kind] = append(p.took[r.kind], time.Since(r.since))
	} else {
		p.pending = append(p.pending, r)
	}
}

// restarted begins to time a recovery.
func (p *progress) restarted(kind string, node int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, recovery{kind, node, time.Now(), p.highest})
}

// ended says where the log ends, for good.
func (p *progress) ended(ends map[int32]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, end := range ends {
		p.end += end
	}
}

// recorded is how far all partitions are recorded, summed; 0 while ClickHouse
// does not answer. It waits for as long as that takes: the embedded one aborts
// when a client gives up.
func (p *progress) recorded(ctx context.Context) int64 {
	var n int64
	err := p.conn.QueryRow(ctx, "SELECT toInt64(sum(o)) FROM (SELECT argMax(offset, version) + 1 AS o FROM progress WHERE site = ? AND stage = 'device' GROUP BY partition)", site).Scan(&n)
	if err != nil {
		return 0
	}
	return n
}

// ready is what keeps a node from being ready, nil if nothing does.
func (p *progress) ready(ctx context.Context, node int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.urls[node]+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("asking node %d: %w", node, err)
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return fmt.Errorf("asking node %d: %w", node, err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("node %d answers %s", node, resp.Status)
	}
	return nil
}
