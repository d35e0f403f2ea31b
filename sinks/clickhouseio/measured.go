package clickhouseio

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/rows"
)

// Stages that serving nodes measure.
const (
	StageDeliver = "deliver" // decided to a node's memory
	StageWhole   = "whole"   // client to a node's memory
	StageRespond = "respond" // request to a node's response
)

const (
	measureEvery = 5 * time.Second // wait between two writings
	measureFor   = 2 * time.Second // one attempt; the last one holds up the node's end
)

// Measurements writes what a process measures by itself, by stage, to the table
// latency: every few seconds, and at last. It is no Writer: measuring must not hold up
// who measures, and what cannot be written waits for the next time as counts, which
// latency.Minutes bounds. The counts are absolute, so that writing them twice changes
// nothing.
type Measurements struct {
	site   string
	id     uint64 // latency.job: of this process
	stages map[string]*latency.Minutes
	conn   driver.Conn
	cancel context.CancelFunc
	done   chan struct{}

	writing sync.Mutex // for write
	version uint64     // of the rows; writing's

	mu    sync.Mutex
	err   error
	since time.Time // of err
	stats MeasurementStats
}

// MeasurementStats counts what was written.
type MeasurementStats struct {
	Rows   uint64 // written, with repetitions
	Failed uint64 // attempts that wrote nothing
	Lost   uint64 // minutes that were let go of while ClickHouse was away
}

// Measure begins to write the stages' minutes. It does not wait for the server.
func Measure(dsn, site string, stages map[string]*latency.Minutes) (*Measurements, error) {
	if dsn == "" {
		return nil, fmt.Errorf("writing the latencies of site %q: the DSN is empty", site)
	}
	conn, err := connect(dsn, measureFor)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &Measurements{site: site, id: rand.Uint64(), stages: stages, conn: conn, cancel: cancel, done: make(chan struct{})}
	go m.run(ctx)
	return m, nil
}

func (m *Measurements) run(ctx context.Context) {
	defer close(m.done)
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			m.write()
			return
		case <-tick.C:
			m.write()
		}
	}
}

// Close writes what is left, in measureFor at the most, and ends the writing.
func (m *Measurements) Close() error {
	m.cancel()
	<-m.done
	if err := m.conn.Close(); err != nil {
		return fmt.Errorf("closing the connections to ClickHouse: %w", err)
	}
	return nil
}

// Stats are the counts so far.
func (m *Measurements) Stats() MeasurementStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.stats
	for _, s := range m.stages {
		out.Lost += s.Lost()
	}
	return out
}

// Trouble says why latencies are not in ClickHouse; empty: they are.
func (m *Measurements) Trouble() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		return ""
	}
	return fmt.Sprintf("the latencies of this node wait for ClickHouse since %s: %v", m.since.UTC().Format(time.RFC3339), m.err)
}

// write makes one attempt, and notes how it went; only changes are logged.
func (m *Measurements) write() {
	m.writing.Lock()
	defer m.writing.Unlock()
	taken := map[string][]latency.Minute{}
	for stage, s := range m.stages {
		if minutes := s.Unwritten(); len(minutes) > 0 {
			taken[stage] = minutes
		}
	}
	if len(taken) == 0 {
		return
	}
	n, err := m.insert(taken)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		if m.stats.Failed++; m.err == nil {
			m.since = time.Now()
			slog.Warn("writing the latencies of this node; they wait", "err", err)
		}
		m.err = err
		return
	}
	for stage, minutes := range taken {
		m.stages[stage].Written(minutes)
	}
	if m.stats.Rows += uint64(n); m.err != nil {
		slog.Info("the latencies of this node are in ClickHouse again", "after", time.Since(m.since).Round(time.Second))
	}
	m.err = nil
}

// insert writes the minutes of the stages, and returns how many rows they are.
func (m *Measurements) insert(taken map[string][]latency.Minute) (int, error) {
	m.version++
	out := rows.NewLatencyBuilder()
	for stage, minutes := range taken {
		for i := range minutes {
			minutes[i].Each(func(bucket uint16, count uint64, sum float64) {
				out.Append(&rows.Latency{Site: m.site, Job: m.id, Shard: recordShard, Minute: minutes[i].At * 60_000,
					Stage: stage, Bucket: bucket, Count: count, SumMS: sum, Version: m.version})
			})
		}
	}
	batch, err := out.Batch(0)
	if err != nil {
		return 0, fmt.Errorf("encoding latencies: %w", err)
	}
	p, err := decode(batch, time.Now())
	if err != nil {
		return 0, err
	}
	table, _ := rows.ByName(batch.Table)
	b := &block{table: table}
	b.add(p)
	defer b.release()
	ctx, cancel := context.WithTimeout(context.Background(), measureFor)
	defer cancel()
	if err := send(ctx, m.conn, b); err != nil {
		return 0, fmt.Errorf("inserting %d rows into %s: %w", b.taken, table.Name, err)
	}
	return b.taken, nil
}
