package query

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Recorded reports whether both stages have recorded every offset below ends.
func Recorded(ctx context.Context, conn driver.Conn, site string, ends map[int32]int64) (bool, error) {
	rows, err := conn.Query(ctx, "SELECT stage, partition, argMax(offset, version) FROM progress WHERE site = ? GROUP BY stage, partition", site)
	if err != nil {
		return false, fmt.Errorf("reading the job's progress: %w", err)
	}
	defer rows.Close()
	at := map[string]int64{}
	for rows.Next() {
		var stage string
		var part int32
		var offset int64
		if err := rows.Scan(&stage, &part, &offset); err != nil {
			return false, fmt.Errorf("reading the job's progress: %w", err)
		}
		at[fmt.Sprint(stage, part)] = offset + 1
	}
	for part, end := range ends {
		if at[fmt.Sprint("device", part)] < end || at[fmt.Sprint("person", part)] < end {
			return false, rows.Err()
		}
	}
	return true, rows.Err()
}

// Passed reports whether the time of users and audience, recorded by the person stage, has
// passed every event of the device stage's partitions. Without an event it has.
func Passed(ctx context.Context, conn driver.Conn, site string) (bool, error) {
	var passed bool
	err := conn.QueryRow(ctx, `SELECT minIf(watermark, stage = 'person') >= maxIf(clock, stage = 'device')
FROM progress_current WHERE site = ?`, site).Scan(&passed)
	if err != nil {
		return false, fmt.Errorf("reading the job's progress: %w", err)
	}
	return passed, nil
}
