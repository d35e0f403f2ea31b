package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/sinks/clickhouseio"
)

// TestClean: `up --clean` forgot the log and kept the rows, so that the next
// report mixed two lives of a site. Another site's rows stay.
func TestClean(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) {
		_, _, a := up(t, dir)
		body := fmt.Sprintf(`{"messageId":"m1","type":"track","event":"Product Added","anonymousId":"ann","properties":{"price":9},"timestamp":%q}`, time.Now().UTC().Format(time.RFC3339Nano))
		r, err := http.NewRequest("POST", "http://"+a.HTTP+"/v1/track", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("demo", "")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
		await(t, "the session", func() bool { return count(t, dir, "sessions", "demo") > 0 })
		conn, err := clickhouseio.Dial(a.DSN) // `sql` asks as the analyst, who changes nothing
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.Exec(t.Context(), "INSERT INTO sessions (site, device) VALUES ('other', 'x')"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("after", func(t *testing.T) {
		_, out, _ := up(t, dir, "--clean")
		if expect(t, out.String(), " rows of site demo"); count(t, dir, "sessions", "demo") != 0 {
			t.Error("the site's sessions are still there")
		}
		if count(t, dir, "sessions", "other") != 1 {
			t.Error("another site's sessions are gone")
		}
	})
}

func count(t *testing.T, dir, table, site string) (n int) {
	t.Helper()
	out, _ := says(t, "sql", "--dir", dir, "--format", "TSV", fmt.Sprintf("SELECT count() FROM %s WHERE site = '%s'", table, site))
	if _, err := fmt.Sscan(out, &n); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return n
}

// TestCleanAsksFirst: rows in a ClickHouse that others may use go only when the
// site is named.
func TestCleanAsksFirst(t *testing.T) {
	t.Parallel()
	c := program(t, "up", "--dir", t.TempDir(), "--clean")
	c.Env = append(c.Env, "MICROSEG_CLICKHOUSE_DSN=clickhouse://127.0.0.1:1/x")
	b, err := c.CombinedOutput()
	if !isExit(err) {
		t.Fatal(err)
	}
	expect(t, string(b), "add --yes demo if that is meant")
}

// TestAfterADemo: what a demo has recorded can be asked for when nothing runs;
// `deadletters` and `report` knew running stacks alone.
func TestAfterADemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	input := filepath.Join(dir, "in.jsonl")
	events := `{"type":"page","anonymousId":"a","messageId":"1","timestamp":"2026-01-02T03:04:05Z","properties":{"path":"/"}}` + "\n" +
		`{"type":"page","anonymousId":"a","messageId":"2","timestamp":"never"}` + "\n"
	if err := os.WriteFile(input, []byte(events), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := says(t, "demo", "--dir", dir, "--input", input)
	if expect(t, out, "2 read = 1 good"); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(out, "WARN") || strings.Contains(out, "ERROR") {
		t.Errorf("a clean run warns:\n%s", out)
	}
	letters, _ := says(t, "deadletters", "--dir", dir)
	expect(t, letters, "malformed")
	report, _ := says(t, "report", "--dir", dir)
	expect(t, report, "2 read = 1 good")
}
