package clickhouseio_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	server "github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/erasure"
	"github.com/microseg/microseg/sinks/clickhouseio/migrations"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// of are the users that grants.sql makes, leaving out a statement. The embedded server
// cannot make users by SQL, so what the file grants is put into its configuration.
func of(sql []string, without string) []server.Account {
	job := server.Account{Name: "microseg_job", Password: "job"}
	analyst := server.Account{Name: "microseg_analyst", Password: "analyst", Reads: true}
	for _, q := range sql {
		for _, to := range []*server.Account{&job, &analyst} {
			if grant, ok := strings.CutSuffix(q, " TO "+to.Name); ok && q != without {
				to.Grants = append(to.Grants, grant)
			}
		}
	}
	return []server.Account{job, analyst}
}

func dsn(s *server.Server, login string) string {
	return "clickhouse://" + login + "@" + s.Addr() + "/microseg"
}

// granted is a server with these users, and the database that an admin has made.
func granted(t *testing.T, accounts []server.Account) *server.Server {
	t.Helper()
	s, err := server.Start(t.Context(), server.Options{Dir: filepath.Join(t.TempDir(), "ch"), Accounts: accounts, StartTimeout: 2 * time.Minute})
	check(t, err)
	t.Cleanup(s.Kill)
	admin, err := clickhouse.Open(&clickhouse.Options{Addr: []string{s.Addr()}, Auth: clickhouse.Auth{Username: server.User, Password: s.Password()}})
	check(t, err)
	defer admin.Close()
	check(t, admin.Exec(t.Context(), "CREATE DATABASE microseg"))
	return s
}

// work is all that the job, a node and our commands do with ClickHouse.
func work(ctx context.Context, dsn string) error {
	if err := migrations.Up(ctx, dsn); err != nil {
		return err
	}
	w, err := clickhouseio.Open(ctx, clickhouseio.Config{DSN: dsn, RetryFor: time.Second})
	if err != nil {
		return err
	}
	b := rows.NewProgressBuilder()
	b.Append(&rows.Progress{Site: "site", Stage: rows.StageDevice, Offset: 3})
	batch, err := b.Batch(0)
	if err == nil {
		err = w.Add(ctx, batch)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	conn, err := clickhouseio.Dial(dsn)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := query.Health(ctx, conn, "site", query.Thresholds{}); err != nil {
		return err
	}
	if _, err := query.Report(ctx, conn, "site", query.Thresholds{}); err != nil {
		return err
	}
	s, err := erasure.Open(ctx, dsn, "site")
	if err != nil {
		return err
	}
	defer s.Close()
	p := &identity.ErasedPerson{Person: identity.Person{User: "ann", Devices: []string{"phone"}}}
	if _, err := s.Export(ctx, &p.Person); err != nil {
		return err
	}
	if _, err := s.Erase(ctx, p, nil); err != nil {
		return err
	}
	if err := s.Save(ctx, "r", "s", time.Now(), time.Now(), []byte("{}")); err != nil {
		return err
	}
	_, err = erasure.Clear(ctx, dsn, "site")
	return err
}

// TestGrants: with what grants.sql grants, everything works as the users that it
// makes, and nothing more does. Each grant is needed: without it something is refused
// by its name.
func TestGrants(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("grants.sql")
	check(t, err)
	var sql []string
	for line := range strings.Lines(string(text)) {
		if q, ok := strings.CutSuffix(strings.TrimSpace(line), ";"); ok && strings.HasPrefix(q, "GRANT ") {
			sql = append(sql, q)
		}
	}
	s := granted(t, of(sql, ""))
	check(t, work(t.Context(), dsn(s, "microseg_job:job")))
	readOnly(t, dsn(s, "microseg_analyst:analyst"))
	parses(t, s, string(text))
	tried := 0
	for _, q := range sql {
		privilege, is := strings.CutSuffix(strings.TrimPrefix(q, "GRANT "), " TO microseg_job")
		if !is {
			continue
		}
		tried++
		want := privilege
		if !strings.HasPrefix(want, "TABLE ENGINE") {
			want, _, _ = strings.Cut(privilege, " ON ")
		}
		if want == "DROP TABLE" {
			want = "DROP VIEW" // which it brings with it, and is asked for first
		}
		s := granted(t, of(sql, q))
		if err := work(t.Context(), dsn(s, "microseg_job:job")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", privilege, err)
		}
		s.Kill()
	}
	if tried < 7 {
		t.Errorf("%d grants of the job", tried)
	}
}

// readOnly: the analyst reads what the views say, and nothing more.
func readOnly(t *testing.T, dsn string) {
	t.Helper()
	conn, err := clickhouseio.Dial(dsn)
	check(t, err)
	defer conn.Close()
	if _, err := query.Report(t.Context(), conn, "site", query.Thresholds{}); err != nil {
		t.Errorf("a report as the analyst: %v", err)
	}
	for _, q := range []string{"INSERT INTO alerts (site) SELECT 'x'", "SELECT 1 FROM system.processes", "SELECT 1 SETTINGS max_execution_time = 0",
		"SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'a String')", "SELECT * FROM file('/etc/hostname', 'LineAsString', 'a String')"} {
		if err := conn.Exec(t.Context(), q); err == nil {
			t.Errorf("the analyst may: %s", q)
		}
	}
}

// parses: the server reads all statements of the file, and the limits in it are those
// of the embedded server's analyst.
func parses(t *testing.T, s *server.Server, text string) {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{s.Addr()}, Auth: clickhouse.Auth{Username: server.User, Password: s.Password()}})
	check(t, err)
	defer conn.Close()
	statements := strings.SplitAfter(strings.TrimSpace(text), ";\n")
	for _, q := range statements {
		var formatted string
		if err := conn.QueryRow(t.Context(), "SELECT formatQuery(?)", strings.TrimSuffix(strings.TrimSpace(q), ";")).Scan(&formatted); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(s.Log()), "users-*.xml"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	users, err := os.ReadFile(files[0])
	check(t, err)
	limits := regexp.MustCompile(`(\w+) = (\d+) MIN 1 MAX (\d+)`).FindAllStringSubmatch(text, -1)
	for _, m := range limits {
		if m[2] != m[3] || !strings.Contains(string(users), "<"+m[1]+"><min>1</min><max>"+m[3]+"</max></"+m[1]+">") {
			t.Errorf("the embedded server's analyst has another %s", m[1])
		}
	}
	if want := strings.Count(string(users), "<min>"); len(limits) != want {
		t.Errorf("%d limits, the embedded server's analyst has %d", len(limits), want)
	}
}
