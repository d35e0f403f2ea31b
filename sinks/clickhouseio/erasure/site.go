package erasure

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/migrations"
)

// Clear deletes all rows of a site and waits until ClickHouse has done it. It
// returns how many there were. The site's job must not run.
func Clear(ctx context.Context, dsn, site string) (rows uint64, err error) {
	if err := migrations.Up(ctx, dsn); err != nil {
		return 0, err
	}
	conn, err := clickhouseio.Dial(dsn)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	tables, err := siteTables(ctx, conn)
	if err != nil {
		return 0, err
	}
	for _, table := range tables {
		var n uint64
		if err := conn.QueryRow(ctx, "SELECT count() FROM "+table+" WHERE site = ?", site).Scan(&n); err != nil {
			return rows, fmt.Errorf("counting the rows of site %s in %s: %w", site, table, err)
		}
		if n == 0 {
			continue
		}
		if err := conn.Exec(ctx, "ALTER TABLE "+table+" DELETE WHERE site = ? SETTINGS mutations_sync = 2", site); err != nil {
			return rows, fmt.Errorf("deleting the rows of site %s from %s: %w", site, table, err)
		}
		rows += n
	}
	return rows, nil
}

// siteTables are the tables that hold rows of sites, whatever a migration adds.
func siteTables(ctx context.Context, conn driver.Conn) (tables []string, err error) {
	rs, err := conn.Query(ctx, `SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'
		AND name IN (SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'site') ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("listing the tables of sites: %w", err)
	}
	defer rs.Close()
	for rs.Next() {
		var table string
		if err := rs.Scan(&table); err != nil {
			return nil, fmt.Errorf("listing the tables of sites: %w", err)
		}
		tables = append(tables, table)
	}
	return tables, rs.Err()
}
