package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/testing/oracle"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// skewed are events of a few visitors who do much, many who come once, users, and some who
// come back after a long silence; one event a line, nearly in time order.
func skewed(r *rand.Rand, n int) []byte {
	var out bytes.Buffer
	at := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	for i := range n {
		at = at.Add(time.Duration(r.Int64N(int64(8 * time.Second))))
		device, user := fmt.Sprint("once", i), ""
		switch k := r.IntN(10); {
		case k < 4:
			device = fmt.Sprint("busy", r.IntN(12))
		case k < 6:
			device = fmt.Sprint("silent", (i/40)%25)
		case k < 8:
			d := r.IntN(30)
			device, user = fmt.Sprint("known", d), fmt.Sprintf(`"userId":"user%d",`, d/2)
		}
		when := at.Add(-time.Duration(r.Int64N(int64(9*time.Minute))) * time.Duration(r.IntN(4)/3))
		line := fmt.Sprintf(`{"type":"page","anonymousId":%q,%s"messageId":"m%d","timestamp":%q,"properties":{"path":"/product/%d"}}`+"\n",
			device, user, i, when.Format("2006-01-02T15:04:05.000Z"), r.IntN(5))
		for range 1 + r.IntN(6)/5 {
			out.WriteString(line)
		}
	}
	return out.Bytes()
}

// TestOracleUnderALimit: no whole job with a small state.max_devices could be judged, as the
// oracle knew no limit. Job and oracle let the same devices go: verdicts, sessions, and who is
// left, are the same.
func TestOracleUnderALimit(t *testing.T) {
	const site = "oracle-room"
	log, err := kafkalog.Start(kafkalog.Options{})
	check(t, err)
	t.Cleanup(log.Close)
	small := func(cfg *config.Config) { cfg.State.MaxDevices, cfg.Source.Shards = 50, 2 }
	conn := replayTo(t, log.Brokers(), site, io.NopCloser(bytes.NewReader(skewed(rand.New(rand.NewPCG(5, 1)), 2000))), false, small)
	cfg := config.Demo()
	small(cfg)
	want := judged(t, cfg, log.Brokers(), site)
	compareVerdicts(t, conn, site, want)
	compareRoom(t, conn, site, want)
	if n := count(t, conn, "SELECT count() FROM segment_events_dedup WHERE site = ? AND cause = 'evicted'", site); n == 0 {
		t.Error("nobody was let go")
	}
}

// judged is what the oracle makes of a topic.
func judged(t *testing.T, cfg *config.Config, brokers []string, topic string) *oracle.Result {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(t, err)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic)
	check(t, err)
	left := int64(0)
	o, err := oracle.New(cfg)
	check(t, err)
	ends.Each(func(e kadm.ListedOffset) { left, o.Partitions = left+e.Offset, o.Partitions+1 })
	for left > 0 {
		fetches := cl.PollFetches(t.Context())
		check(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			check(t, o.Take(&oracle.Record{Partition: r.Partition, Offset: r.Offset, Appended: r.Timestamp.UnixMilli(), Value: r.Value, Trust: kafkaio.TrustOf(r)}))
		})
	}
	return o.Result()
}

// compareRoom compares sessions, of which those of devices that were let go stay, and persons.
func compareRoom(t *testing.T, conn driver.Conn, site string, want *oracle.Result) {
	t.Helper()
	is := map[string]bool{}
	rows, err := conn.Query(context.Background(), `SELECT concat(device, ' ', toString(epoch), ' ', toString(toUnixTimestamp64Milli(start)), ' ', toString(toUnixTimestamp64Milli(end)), ' ', toString(events))
		FROM sessions_current WHERE site = ? UNION ALL SELECT person FROM persons_current WHERE site = ?`, site, site)
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		var row string
		check(t, rows.Scan(&row))
		is[row] = true
	}
	check(t, rows.Err())
	all := want.Persons()
	for _, s := range want.Sessions {
		all = append(all, fmt.Sprint(s.Device, " ", s.Epoch, " ", s.Start, " ", s.End, " ", s.Events))
	}
	for _, row := range all {
		if !is[row] {
			t.Errorf("the oracle has %q and the job has not", row)
		}
		delete(is, row)
	}
	for row := range is {
		t.Errorf("the job has %q and the oracle has not", row)
	}
}
