package migrations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// tableExists is ClickHouse's TABLE_ALREADY_EXISTS.
const tableExists = 57

// abandoned is the age at which a lock's owner is taken for dead; migrations
// take well under a second. Tests change it.
var abandoned = time.Minute

// lock makes this process the only one that migrates the database. ClickHouse
// has no locks, but of two CREATE TABLE of one name only one succeeds. A lock
// that its owner has left behind by dying is broken after a minute of the
// server's clock.
func lock(ctx context.Context, conn driver.Conn) (unlock func(), err error) {
	for {
		err := conn.Exec(ctx, "CREATE TABLE schema_migrations_lock (nothing UInt8 COMMENT 'always empty: the table is a lock') ENGINE = Memory")
		if err == nil {
			return func() {
				// The context may be over; a lock that stays costs others a minute.
				_ = conn.Exec(context.WithoutCancel(ctx), "DROP TABLE IF EXISTS schema_migrations_lock")
			}, nil
		}
		var ex *clickhouse.Exception
		if !errors.As(err, &ex) || ex.Code != tableExists {
			return nil, fmt.Errorf("locking the schema: %w", err)
		}
		if err := breakAbandoned(ctx, conn); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another process's migration: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func breakAbandoned(ctx context.Context, conn driver.Conn) error {
	var old bool
	err := conn.QueryRow(ctx, `SELECT count() > 0 FROM system.tables
		WHERE database = currentDatabase() AND name = 'schema_migrations_lock' AND metadata_modification_time < now() - ?`,
		int64(abandoned/time.Second)).Scan(&old)
	if err == nil && old {
		err = conn.Exec(ctx, "DROP TABLE IF EXISTS schema_migrations_lock")
	}
	if err != nil {
		return fmt.Errorf("looking at the schema's lock: %w", err)
	}
	return nil
}
