package migrations

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	server "github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/rows"
)

var srv *server.Server

func TestMain(m *testing.M) {
	server.HandleChild()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "migrations")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if srv, err = server.Start(context.Background(), server.Options{Dir: filepath.Join(dir, "main")}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer srv.Stop()
	return m.Run()
}

var databases atomic.Int64

// fresh is the DSN of a database that does not exist yet.
func fresh(t *testing.T) string {
	u, err := url.Parse(srv.DSN())
	if err != nil {
		t.Fatal(err)
	}
	u.Path = fmt.Sprintf("/m%d_%d", os.Getpid(), databases.Add(1))
	return u.String()
}

func connect(t *testing.T, dsn string) driver.Conn {
	t.Helper()
	opts, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The server may be someone's own.
		_ = conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+quote(opts.Auth.Database))
		conn.Close()
	})
	return conn
}

func count(t *testing.T, conn driver.Conn, q string, args ...any) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), q, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return n
}

func migrated(t *testing.T) driver.Conn {
	t.Helper()
	dsn := fresh(t)
	if err := Up(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	return connect(t, dsn)
}

func TestUpTwiceIsOnce(t *testing.T) {
	dsn := fresh(t)
	for range 2 {
		if err := Up(t.Context(), dsn); err != nil {
			t.Fatal(err)
		}
	}
	ms, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, connect(t, dsn), "SELECT count() FROM schema_migrations"); n != uint64(len(ms)) {
		t.Fatalf("%d records for %d migrations", n, len(ms))
	}
}

func TestManyAtOnce(t *testing.T) {
	dsn := fresh(t)
	var g errgroup.Group
	for range 6 {
		g.Go(func() error { return Up(context.Background(), dsn) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, dsn)
	ms, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, conn, "SELECT count() FROM schema_migrations"); n != uint64(len(ms)) {
		t.Errorf("%d records for %d migrations", n, len(ms))
	}
	if n := count(t, conn, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations_lock'"); n != 0 {
		t.Error("the lock is still there")
	}
}

func TestNewerAndEditedSchemasAreRefused(t *testing.T) {
	dsn := fresh(t)
	if err := Up(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, dsn)
	if err := conn.Exec(t.Context(), "INSERT INTO schema_migrations (version, name, checksum) VALUES (99, '0099_future', 'x')"); err != nil {
		t.Fatal(err)
	}
	if err := Up(t.Context(), dsn); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("newer: %v", err)
	}
	edited := fresh(t)
	ms, err := load(fstest.MapFS{"0001_tables.sql": {Data: []byte("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a;\n")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := up(t.Context(), connect(t, edited), ms); err != nil {
		t.Fatal(err)
	}
	if err := Up(t.Context(), edited); !errors.Is(err, ErrEdited) {
		t.Errorf("edited: %v", err)
	}
}

// TestALockIsWaitedFor: two processes that altered one table at once would both
// fail half way.
func TestALockIsWaitedFor(t *testing.T) {
	dsn := fresh(t)
	conn := connect(t, dsn)
	if _, err := lock(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := Up(ctx, dsn); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("while another one migrates: %v", err)
	}
	// Its owner has died; a minute later the next one breaks it.
	old := abandoned
	abandoned = -time.Minute
	defer func() { abandoned = old }()
	if err := Up(t.Context(), dsn); err != nil {
		t.Fatalf("after another one died: %v", err)
	}
}

func TestEveryColumnHasAComment(t *testing.T) {
	conn := migrated(t)
	rs, err := conn.Query(t.Context(), `SELECT c.table, c.name FROM system.columns AS c
		INNER JOIN system.tables AS t ON c.database = t.database AND c.table = t.name
		WHERE c.database = currentDatabase() AND c.comment = '' AND t.engine != 'View'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	for rs.Next() {
		var table, column string
		if err := rs.Scan(&table, &column); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s.%s has no comment", table, column)
	}
	if n := count(t, conn, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND comment = ''"); n != 0 {
		t.Errorf("%d tables or views have no comment", n)
	}
}

// TestOldNamesOfViews: whose reports name views as they were named before still get what
// the new names give, column by column, and no view of ours reads an old name.
func TestOldNamesOfViews(t *testing.T) {
	conn := migrated(t)
	for was, is := range map[string]string{"_now": "_current", "_once": "_dedup"} {
		named := fmt.Sprintf("FROM system.tables WHERE database = currentDatabase() AND endsWith(name, '%s')", is)
		if n := count(t, conn, "SELECT count() "+named); n < 6 {
			t.Errorf("%d views end with %s", n, is)
		}
		columns := "SELECT groupArray((name, type)) FROM (SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = t.%s ORDER BY position)"
		rs, err := conn.Query(t.Context(), fmt.Sprintf("SELECT name, replaceRegexpOne(name, '%s$', '%s') AS old "+named, is, was))
		if err != nil {
			t.Fatal(err)
		}
		for rs.Next() {
			var name, old string
			if err := rs.Scan(&name, &old); err != nil {
				t.Fatal(err)
			}
			of := func(view string) (list string) {
				query := fmt.Sprintf("SELECT toString((%s))", strings.ReplaceAll(columns, "t.%s", "'"+view+"'"))
				if err := conn.QueryRow(t.Context(), query).Scan(&list); err != nil {
					t.Fatal(err)
				}
				return list
			}
			if of(name) == "[]" || of(name) != of(old) {
				t.Errorf("%s has %s, %s has %s", name, of(name), old, of(old))
			}
			count(t, conn, "SELECT count() FROM "+old)
		}
		if n := count(t, conn, fmt.Sprintf("SELECT countIf(as_select LIKE '%%\\%s%%') FROM system.tables WHERE database = currentDatabase()", was)); n != 0 {
			t.Errorf("%d views read one that ends with %s", n, was)
		}
	}
}

// TestTablesAreThoseOfTheRows: columns in the same order, but for those that the
// server fills, and the key that the
// rows are coalesced by is the key that ClickHouse replaces by.
func TestTablesAreThoseOfTheRows(t *testing.T) {
	conn := migrated(t)
	for _, table := range rows.Tables {
		var names []string
		var keys, window uint64
		err := conn.QueryRow(t.Context(), `SELECT groupArray(name), sum(is_in_sorting_key) FROM
			(SELECT * FROM system.columns WHERE database = currentDatabase() AND table = ? AND default_kind = '' ORDER BY position)`, table.Name).Scan(&names, &keys)
		if err != nil {
			t.Fatal(err)
		}
		if len(names) != len(table.Columns) {
			t.Errorf("%s has columns %v", table.Name, names)
			continue
		}
		for i, c := range table.Columns {
			if names[i] != c.Name {
				t.Errorf("%s: column %d is %s, want %s", table.Name, i, names[i], c.Name)
			}
			if in := count(t, conn, "SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = ? AND name = ? AND is_in_sorting_key", table.Name, c.Name) == 1; in != c.Key {
				t.Errorf("%s.%s: in the sorting key %v, in the row's key %v", table.Name, c.Name, in, c.Key)
			}
		}
		window = count(t, conn, "SELECT toUInt64(position(create_table_query, 'non_replicated_deduplication_window = ') > 0) FROM system.tables WHERE database = currentDatabase() AND name = ?", table.Name)
		if window != 1 {
			t.Errorf("%s deduplicates no inserts", table.Name)
		}
	}
}

func TestBucketsInSQLAreThoseInGo(t *testing.T) {
	conn := migrated(t)
	rs, err := conn.Query(t.Context(), "SELECT bucket, lower_ms, upper_ms, mid_ms FROM latency_buckets ORDER BY bucket")
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	n := 0
	for ; rs.Next(); n++ {
		var b uint16
		var lower, upper, mid float64
		if err := rs.Scan(&b, &lower, &upper, &mid); err != nil {
			t.Fatal(err)
		}
		if int(b) != n || !near(lower, latency.Lower(b)) || !near(upper, latency.Upper(b)) || !near(mid, latency.Mid(b)) {
			t.Fatalf("bucket %d: [%v, %v) %v, in Go [%v, %v) %v", b, lower, upper, mid, latency.Lower(b), latency.Upper(b), latency.Mid(b))
		}
	}
	if n != latency.Buckets {
		t.Fatalf("%d buckets", n)
	}
}

func near(a, b float64) bool { return a-b <= 1e-12*b && b-a <= 1e-12*b }

func TestMigrationsAreNumbered(t *testing.T) {
	_, err := load(fstest.MapFS{"0002_gap.sql": {Data: []byte("SELECT 1;\n")}})
	if err == nil {
		t.Fatal("a gap in the numbers is accepted")
	}
}
