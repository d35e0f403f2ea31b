package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/microseg/microseg/sources/deadletters"
	"github.com/microseg/microseg/testing/oracle"
)

// TestDeadLetters: a limit that was too low made dead letters of long events. The
// job starts again with a higher one, from its state, and knows nothing of them;
// after their replay sessions and paths are those of an oracle that had the higher
// limit from the beginning, and a second replay has nothing to do.
func TestDeadLetters(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	const site, low = "dead-letters", 1000
	var long, short []byte
	letters := 0
	for i, line := range visit(t) {
		short = append(append(short, line...), '\n')
		if i%13 == 0 {
			letters++
			line = fmt.Appendf(nil, `{"pad":%q,%s`, strings.Repeat("x", low+event.Overhead), line[1:])
		}
		long = append(append(long, line...), '\n')
	}
	conn := replayTo(t, log.Brokers(), site, io.NopCloser(bytes.NewReader(long)), false, func(cfg *config.Config) { cfg.MaxBytes = low })
	if n := count(t, conn, "SELECT count() FROM dead_letters_dedup WHERE site = ? AND reason = 'oversized'", site); int(n) != letters {
		t.Fatalf("%d dead letters, not %d", n, letters)
	}
	cfg := config.Demo()
	j, err := pipelines.NewJob(ctx, cfg, log.Brokers(), site, site, server.DSN())
	check(t, err)
	check(t, j.Start(ctx))
	t.Cleanup(func() { j.Stop() })
	if j.Recovery.Profiles == 0 || j.Recovery.Batches != 0 {
		t.Fatalf("the job begins anew: %s", j.Recovery.String())
	}
	replay := func() (deadletters.Plan, map[string]uint64) {
		unplaced, err := query.ListLetters(ctx, conn, site)
		check(t, err)
		o := deadletters.Options{Brokers: log.Brokers(), Topic: site, Event: cfg.EventConfig()}
		for _, l := range unplaced {
			o.Letters = append(o.Letters, deadletters.Letter(l))
		}
		r, err := deadletters.New(ctx, o)
		check(t, err)
		defer r.Close()
		plan, err := r.Send(ctx)
		check(t, err)
		var out map[string]uint64
		waitFor(t, "the job to tell of the letters", func() bool {
			out, err = query.Outcomes(ctx, conn, site, plan.Receipt)
			check(t, err)
			n := uint64(0)
			for _, x := range out {
				n += x
			}
			return n >= uint64(plan.Sent)
		})
		return plan, out
	}
	plan, outcomes := replay()
	if plan.Readable != letters || plan.Sent != letters || plan.Since.IsZero() || int(outcomes[identity.ReplayedGood]) != letters {
		t.Errorf("%+v became %v", plan, outcomes)
	}
	if plan, _ := replay(); plan.Letters != 0 || plan.Devices != 0 {
		t.Errorf("a second time: %+v", plan)
	}
	check(t, j.Stop())
	want, err := oracle.Run(cfg, bytes.NewReader(short), time.Now().UnixMilli())
	check(t, err)
	compareSessions(t, conn, site, want)
	comparePaths(t, conn, site, want)
	list, err := query.ListDeadLetters(ctx, conn, site)
	check(t, err)
	if len(list) != 1 || int(list[0].Count) != letters || list[0].Replayed != list[0].Count || !strings.Contains(query.DeadLettersText(site, list), "oversized") {
		t.Errorf("listed: %+v", list)
	}
}
