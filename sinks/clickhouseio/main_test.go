package clickhouseio

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/sinks/clickhouseio/migrations"
)

// server is the package's ClickHouse; tests use databases of their own.
var server *clickhouse.Server

func TestMain(m *testing.M) {
	clickhouse.HandleChild()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "clickhouseio")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if server, err = clickhouse.Start(context.Background(), clickhouse.Options{Dir: filepath.Join(dir, "main")}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Stop()
	return ptest.MainRetWithDefault(m, "prism")
}

var databases atomic.Int64

// database returns the DSN of a new, migrated database of s and a connection.
func database(t testing.TB, s *clickhouse.Server) (string, driver.Conn) {
	t.Helper()
	name := fmt.Sprintf("t%d_%d", os.Getpid(), databases.Add(1))
	dsn := inDatabase(t, s.DSN(), name)
	if err := migrations.Up(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	conn, err := Dial(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The server may be someone's own, or killed by the test.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name)
		conn.Close()
	})
	return dsn, conn
}

func inDatabase(t testing.TB, dsn, name string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// scan reads one value.
func scan[V any](t testing.TB, conn driver.Conn, q string, args ...any) V {
	t.Helper()
	var v V
	if err := conn.QueryRow(context.Background(), q, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return v
}
