package query

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/migrations"
)

var server *clickhouse.Server

func TestMain(m *testing.M) {
	clickhouse.HandleChild()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "query")
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
	return m.Run()
}

var databases atomic.Int64

// record is a database of its own, with a writer.
type record struct {
	t    *testing.T
	dsn  string
	conn driver.Conn
	w    *clickhouseio.Writer
}

func newRecord(t *testing.T) *record {
	t.Helper()
	u, err := url.Parse(server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("q%d_%d", os.Getpid(), databases.Add(1))
	u.Path = "/" + name
	if err := migrations.Up(t.Context(), u.String()); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouseio.Dial(u.String())
	if err != nil {
		t.Fatal(err)
	}
	w, err := clickhouseio.Open(t.Context(), clickhouseio.Config{DSN: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Close()
		_ = conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name) // the server may be someone's own
		conn.Close()
	})
	return &record{t, u.String(), conn, w}
}

func put[R any](r *record, b *rows.Builder[R], rs ...R) {
	r.t.Helper()
	if len(rs) == 0 {
		return
	}
	for i := range rs {
		b.Append(&rs[i])
	}
	batch, err := b.Batch(0)
	if err == nil {
		err = r.w.Add(r.t.Context(), batch)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *record) flush() {
	r.t.Helper()
	if err := r.w.Flush(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// lines reads a query as text, one line a row.
func (r *record) lines(q string) []string {
	r.t.Helper()
	rs, err := r.conn.Query(r.t.Context(), "SELECT arrayStringConcat(arrayMap(x -> x, [*]), ' ') FROM ("+q+")")
	if err != nil {
		r.t.Fatalf("%s: %v", q, err)
	}
	defer rs.Close()
	var out []string
	for rs.Next() {
		var s string
		if err := rs.Scan(&s); err != nil {
			r.t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}
