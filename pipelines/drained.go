package pipelines

import (
	"context"
	"fmt"
	"time"

	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
)

// Drained waits until everything up to the end offsets is in ClickHouse, in both stages.
func (j *Job) Drained(ctx context.Context, ends map[int32]int64) error {
	conn, err := clickhouseio.Dial(j.Sink.DSN)
	if err != nil {
		return err
	}
	defer conn.Close()
	return j.poll(ctx, func() (bool, error) { return query.Recorded(ctx, conn, j.Site, ends) })
}

// Passed waits, after Drained, until time has passed all events, so that what only time decides
// is in ClickHouse, too: the audience's minutes. Behind a replay at full speed time comes seconds
// after the records: only then do the partitions count as idle.
func (j *Job) Passed(ctx context.Context) error {
	conn, err := clickhouseio.Dial(j.Sink.DSN)
	if err != nil {
		return err
	}
	defer conn.Close()
	return j.poll(ctx, func() (bool, error) { return query.Passed(ctx, conn, j.Site) })
}

// poll asks until the answer is yes, or the job has ended.
func (j *Job) poll(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-j.done:
			j.done <- err
			return fmt.Errorf("the pipeline ended before it was drained: %w", err)
		case <-tick.C:
		}
		if ok, err := ask(); err != nil || ok {
			return err
		}
	}
}
