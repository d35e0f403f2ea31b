// Package clickhouseio writes rows to ClickHouse, the record.
//
// Its core is the Writer, plain Go: it takes Arrow batches (rows.Batch), leaves
// out the rows of state tables that a newer version in the same flush
// overwrites, and appends what remains as columns, one synchronous insert a
// table. Write is its Beam composite.
//
// Rows may be written more than once (a runner repeats a bundle, a job replays
// its log): every row has a deterministic key and version, and the views of
// package migrations say each once. Rows are never lost silently: an insert is
// repeated with the same block and deduplication token while the server is away.
// After Config.SpillAfter rows wait in the log instead (Config.Spill, package
// spillio), and nothing waits for them; without a spill Add blocks, and after
// Config.RetryFor the writer fails. What cannot succeed is an error of every
// later call.
//
// The table progress is the commit: its rows are inserted after everything that
// was added before them is confirmed.
package clickhouseio

import (
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	secure "github.com/microseg/microseg/clients/clickhouse"

	"github.com/microseg/microseg/sinks/spillio"
)

// Config says where and how to write. The zero values of all but DSN are the
// defaults. It is serialised with the pipeline.
type Config struct {
	// DSN of the server with the database, clickhouse://user:password@host:9000/microseg.
	DSN string
	// Site whose record latencies the writer measures and writes; empty: none.
	// Sites have writers of their own.
	Site string
	// Linger is how long rows of several bundles are collected in the process
	// before they are inserted, so that ClickHouse sees one large insert a table
	// and linger. 0 inserts at the end of each bundle, which is right on every
	// runner; with more, a finished bundle is not yet recorded: the rows of
	// progress tell what is.
	Linger time.Duration
	// MaxRows pending cut a linger short. Default 200,000.
	MaxRows int
	// MaxPendingBytes of Arrow data, waiting or on their way, after which Add
	// blocks. Default 128 MiB.
	MaxPendingBytes int
	// RetryFor bounds how long one insert is repeated without a spill. Default 5 min.
	RetryFor time.Duration
	// Spill is the topic to which rows go while the server is away; it needs a
	// Linger. Without one Add blocks, and after RetryFor the writer fails.
	Spill spillio.Config
	// SpillAfter is for how long an insert is tried before its rows, and all after
	// them, are spilled; after insertGrace when half of MaxPendingBytes wait behind
	// it, or an Add does. Default 5 s.
	SpillAfter time.Duration
	// Job is the id of the run in the latency rows; 0: a random one.
	Job uint64
	// Engine names the job whose bundles share a writer in this process; a Linger of Write
	// needs it.
	Engine string
}

func (c Config) withDefaults() Config {
	if c.MaxRows == 0 {
		c.MaxRows = 200_000
	}
	if c.MaxPendingBytes == 0 {
		c.MaxPendingBytes = 128 << 20
	}
	if c.RetryFor == 0 {
		c.RetryFor = 5 * time.Minute
	}
	if c.SpillAfter == 0 {
		c.SpillAfter = 5 * time.Second
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.DSN == "":
		return errors.New("the DSN is empty")
	case c.Linger < 0:
		return fmt.Errorf("linger %v is negative", c.Linger)
	case c.MaxRows < 0 || c.MaxPendingBytes < 0 || c.RetryFor < 0 || c.SpillAfter < 0:
		return errors.New("a limit is negative")
	case c.Spill.Enabled() && c.Linger == 0:
		return errors.New("a spill needs a linger: a writer of a bundle's own has the runner to repeat the bundle")
	}
	return nil
}

// Dial opens a connection pool to the DSN's database for reading. Close it.
func Dial(dsn string) (driver.Conn, error) {
	opts, err := secure.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := secure.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("connecting to ClickHouse: %w", err)
	}
	return conn, nil
}

// connect opens a pool to insert with. It does not talk to the server yet: a
// server that is away is what the inserts' retries are for. A server that stands
// still takes connections and never greets: a wait that contexts do not end. It is
// as long as dial; 0: the DSN's, 30 s by default.
func connect(dsn string, dial time.Duration) (driver.Conn, error) {
	opts, err := secure.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if opts.Settings == nil {
		opts.Settings = clickhouse.Settings{}
	}
	opts.Settings["async_insert"] = 0 // an answer means: recorded
	opts.Settings["insert_deduplicate"] = 1
	opts.MaxOpenConns, opts.MaxIdleConns = 2, 2
	if dial > 0 {
		opts.DialTimeout = dial
	}
	conn, err := secure.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("connecting to ClickHouse: %w", err)
	}
	return conn, nil
}
