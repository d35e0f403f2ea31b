package upgrade_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/testing/upgrade"
)

var server *clickhouse.Server

// fixtureDay is when the fixture was made. Time that a job was away counts as quiet
// time of its partitions: by today's clock all that the fixture left open would be
// over, which the older program could not show.
var fixtureDay = time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	clickhouse.HandleChild()
	clock.Advance(time.Until(fixtureDay))
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "microseg-upgrade-")
		if err == nil {
			defer os.RemoveAll(dir)
			server, err = clickhouse.Start(context.Background(), clickhouse.Options{Dir: dir})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer server.Kill()
		return m.Run()
	}())
}

// dsn is that of a database of its own.
func dsn(name string) string {
	return strings.TrimSuffix(server.DSN(), "/microseg") + "/" + name
}

// programs are the older ones, by the semantics that they had: the first before
// lateness classes and facts of persons, the second before the trust of records.
var programs = []int{1, 2}

// TestGoesOnFromAnOlderProgram: jobs that an older program had stopped, or that were
// killed with 340 events behind their last snapshots, go on from their changelogs.
// Nothing is read anew, what is applied again is decided as that program decides it,
// and events on which both agree lead to the same moves, sessions and persons.
func TestGoesOnFromAnOlderProgram(t *testing.T) {
	for _, p := range programs {
		for _, name := range []string{"stopped", "killed"} {
			t.Run(fmt.Sprint(p, name), func(t *testing.T) {
				t.Parallel()
				goOn(t, p, name, 0)
			})
		}
	}
}

// TestGoesOnWithOtherShards: the same with more shards, and with fewer. What was
// behind the snapshots is applied as it was dealt out then.
func TestGoesOnWithOtherShards(t *testing.T) {
	for _, p := range programs {
		for _, shards := range []int{1, 4} {
			for _, name := range []string{"stopped", "killed"} {
				t.Run(fmt.Sprint(p, name, shards), func(t *testing.T) {
					t.Parallel()
					goOn(t, p, name, shards)
				})
			}
		}
	}
}

func goOn(t *testing.T, program int, name string, shards int) {
	folder := filepath.Join("fixture", fmt.Sprint("semantics", program))
	database := fmt.Sprint(name, program, "_", shards)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var made upgrade.Made
	var more []upgrade.Record
	dir := t.TempDir()
	check(t, upgrade.ReadJSON(filepath.Join(folder, name+"-made.json.gz"), &made))
	check(t, upgrade.ReadJSON(filepath.Join(folder, "continuation.json.gz"), &more))
	check(t, upgrade.Unpack(filepath.Join(folder, name+".tar.gz"), dir))
	log, err := kafkalog.Start(kafkalog.Options{Dir: dir})
	check(t, err)
	defer log.Close()
	cfg, err := config.Load(filepath.Join(folder, "microseg.yaml"))
	check(t, err)
	if shards > 0 {
		cfg.Source.Shards = shards
	}
	j, err := pipelines.NewJob(ctx, cfg, log.Brokers(), upgrade.Topic, upgrade.Topic, dsn(database))
	check(t, err)
	check(t, j.Start(ctx))
	t.Log(j.Recovery.String())
	if j.Recovery.From != "changelog" {
		t.Fatalf("the log is read anew: %s", j.Recovery.From)
	}
	if again := j.Recovery.Batches > 0; again != (name == "killed") {
		t.Errorf("%d batches are applied again", j.Recovery.Batches)
	}
	drained := func() upgrade.Rows {
		_, ends, err := kafkaio.Bounds(ctx, log.Brokers(), upgrade.Topic)
		check(t, err)
		check(t, j.Drained(ctx, ends))
		time.Sleep(3 * time.Second) // rows that wait for their second
		rows, err := upgrade.Ask(ctx, dsn(database), upgrade.Topic)
		check(t, err)
		return rows
	}
	again := drained()
	if shards > 0 || name == "stopped" {
		// No journal says when: other shards have other times, and after a stop it is wall
		// clock that passes. The continuation compares what time decides.
		later := made.Again
		byTime := func(row string) bool { return strings.Contains(row, `"time"`) }
		later["moves"], again["moves"] = slices.DeleteFunc(later["moves"], byTime), slices.DeleteFunc(again["moves"], byTime)
		later["versions of moves"], again["versions of moves"] = nil, nil
		later["persons"], again["persons"] = nil, nil
	}
	compare(t, "applied again", made.Again, again)
	check(t, upgrade.Send(ctx, log.Brokers(), more))
	drained()
	check(t, j.Stop())
	rows, err := upgrade.Ask(ctx, dsn(database), upgrade.Topic)
	check(t, err)
	delete(rows, "versions of moves") // of batches that no journal had cut
	compare(t, "continued", unordered(t, made.Continued), unordered(t, rows))
}

// continued is when the continuation begins.
const continued = "2026-11-20 11:31:54"

// unordered leaves out what depends on luck where no journal says in which order
// a user's person shard hears of its own time and of devices in other shards: the
// moves of users, and where they stand since when.
func unordered(t *testing.T, rows upgrade.Rows) upgrade.Rows {
	out := maps.Clone(rows)
	out["moves"], out["persons"], out["sessions"] = nil, nil, nil
	for _, row := range rows["sessions"] {
		var v []any
		check(t, json.Unmarshal([]byte(row), &v))
		if v[3].(string) >= continued { // the end; earlier ones had their rows in another database
			out["sessions"] = append(out["sessions"], row)
		}
	}
	for _, row := range rows["moves"] {
		if !strings.HasPrefix(row, `["u:`) {
			out["moves"] = append(out["moves"], row)
		}
	}
	for _, row := range rows["persons"] {
		var v []any
		check(t, json.Unmarshal([]byte(row), &v))
		if strings.HasPrefix(v[0].(string), "u:") {
			v[1], v[2], v[6] = nil, nil, nil // path, since, transitions
		}
		out["persons"] = append(out["persons"], fmt.Sprint(v))
	}
	return out
}

// compare compares what both have been asked.
func compare(t *testing.T, when string, want, got upgrade.Rows) {
	t.Helper()
	for q, rows := range got {
		missing, extra := differences(want[q], rows), differences(rows, want[q])
		if len(missing)+len(extra) > 0 {
			t.Errorf("%s, %s: %d of %d rows are missing, %d are there that should not be\n-%s\n+%s", when, q, len(missing), len(want[q]), len(extra),
				strings.Join(missing[:min(5, len(missing))], "\n-"), strings.Join(extra[:min(5, len(extra))], "\n+"))
			continue
		}
		t.Logf("%s: 0 differences in %d rows of %s", when, len(rows), q)
	}
}

// differences are the rows of a that b does not have.
func differences(a, b []string) (out []string) {
	for _, row := range a {
		if !slices.Contains(b, row) {
			out = append(out, row)
		}
	}
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNewSemanticsHold: what comes after an older program is judged as it is now. A
// userId without proof, which linked a device then, is a claim; with a proof it links;
// and the links of before are kept.
func TestNewSemanticsHold(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	folder, dir := filepath.Join("fixture", "semantics2"), t.TempDir()
	check(t, upgrade.Unpack(filepath.Join(folder, "killed.tar.gz"), dir))
	log, err := kafkalog.Start(kafkalog.Options{Dir: dir})
	check(t, err)
	defer log.Close()
	cfg, err := config.Load(filepath.Join(folder, "microseg.yaml"))
	check(t, err)
	j, err := pipelines.NewJob(ctx, cfg, log.Brokers(), upgrade.Topic, upgrade.Topic, dsn("semantics"))
	check(t, err)
	check(t, j.Start(ctx))
	if j.Recovery.From != "changelog" || j.Recovery.Batches == 0 {
		t.Fatal(j.Recovery.String())
	}
	at := time.Date(2026, 11, 20, 11, 35, 0, 0, time.UTC)
	said := func(device, user string, trust event.Trust) {
		at = at.Add(time.Second)
		r := upgrade.Record{Key: device, At: at.UnixMilli(), Value: fmt.Sprintf(`{"type":"identify","anonymousId":%q,"userId":%q,"messageId":"n%d","timestamp":%q}`, device, user, at.UnixMilli(), at.Format(time.RFC3339))}
		check(t, upgrade.SendAs(ctx, log.Brokers(), trust, []upgrade.Record{r}))
	}
	said("after-claim", "u5", event.Public)
	said("after-proof", "u5", event.Proven)
	_, ends, err := kafkaio.Bounds(ctx, log.Brokers(), upgrade.Topic)
	check(t, err)
	check(t, j.Drained(ctx, ends))
	check(t, j.Stop())
	rows, err := upgrade.Lines(ctx, dsn("semantics"), `SELECT device, person, claimed_user FROM sessions_current WHERE site = {site:String} AND device LIKE 'after-%' ORDER BY ALL`, upgrade.Topic)
	check(t, err)
	if want := []string{`["after-claim","d:after-claim","u5"]`, `["after-proof","u:u5",""]`}; !slices.Equal(rows, want) {
		t.Errorf("new records are judged as %s, want %s", rows, want)
	}
	before, err := upgrade.Lines(ctx, dsn("semantics"), `SELECT count() > 0 FROM sessions_current WHERE site = {site:String} AND person LIKE 'u:%' AND device LIKE 'sim-%'`, upgrade.Topic)
	check(t, err)
	if !slices.Equal(before, []string{"[1]"}) {
		t.Errorf("the links of before are not there: %s", before)
	}
}
