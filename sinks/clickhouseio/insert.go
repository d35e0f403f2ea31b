package clickhouseio

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/microseg/microseg/rows"
)

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// insertSQL are the INSERT statements of the tables, by name.
var insertSQL = func() map[string]string {
	m := map[string]string{}
	for _, t := range rows.Tables {
		names := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			names[i] = "`" + c.Name + "`"
		}
		m[t.Name] = "INSERT INTO " + t.Name + " (" + strings.Join(names, ", ") + ")"
	}
	return m
}()

// insert writes the block, repeating the very same insert for up to retryFor
// while it may help; 0: once.
// A repetition of one that did arrive (its answer was lost) is dropped by the
// server, which remembers the token.
func (w *Writer) insert(ctx context.Context, b *block, retryFor time.Duration) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": b.token}))
	start, backoff := time.Now(), firstBackoff
	for attempt := 1; ; attempt++ {
		err := send(ctx, w.conn, b)
		if err == nil {
			return nil
		}
		if !Retryable(err) || ctx.Err() != nil || time.Since(start)+backoff > retryFor {
			return &InsertError{Table: b.table.Name, Rows: b.rows, Attempts: attempt, Err: err}
		}
		w.stats.retries.Add(1)
		slog.Warn("inserting into ClickHouse, will try again", "table", b.table.Name, "rows", b.rows, "attempt", attempt, "err", err)
		// Half of the wait is random, so that writers do not return in step.
		wait := backoff/2 + rand.N(backoff/2)
		select {
		case <-ctx.Done():
			return &InsertError{Table: b.table.Name, Rows: b.rows, Attempts: attempt, Err: err}
		case <-time.After(wait):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// send is one attempt.
func send(ctx context.Context, conn driver.Conn, b *block) error {
	batch, err := conn.PrepareBatch(ctx, insertSQL[b.table.Name])
	if err != nil {
		return err
	}
	if err := appendColumns(batch, b); err != nil {
		batch.Abort()
		return err
	}
	return batch.Send()
}
