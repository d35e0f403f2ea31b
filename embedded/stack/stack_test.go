package stack

import (
	"io"
	"testing"

	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/embedded/clickhouse"
)

// TestServersOfSomebodysOwn: a stack on a ClickHouse of somebody's own did not start, since it
// watched the disk of a folder that nobody had made. And `bench --brokers` and `--dsn` did not use
// the logins of the environment for the log and the ClickHouse that they name: a log and a
// ClickHouse that nobody had asked for were started beside them, and took the variables for
// theirs.
func TestServersOfSomebodysOwn(t *testing.T) {
	const theirs = "clickhouse://127.0.0.1:1/theirs"
	user := func(s clients.Service) string {
		t.Helper()
		name, err := s.Value("USER")
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, s := range []clients.Service{clients.Kafka, clients.ClickHouse} {
		t.Setenv(s.Variable("USER"), "ann")
	}
	for _, c := range []struct {
		name string
		o    Options
		env  string // of $MICROSEG_CLICKHOUSE_DSN
		log  string // the user of the log's
	}{ // a process that has brought its own log goes on with that
		{"both", Options{NoLog: true, DSN: theirs}, "", "ann"},
		{"ClickHouse", Options{DSN: theirs}, "", ""},
		{"ClickHouse of the environment", Options{}, theirs, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(clickhouse.DSNEnv, c.env)
			c.o.Dir, c.o.Messages = t.TempDir(), io.Discard
			s, err := Start(t.Context(), c.o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			if (s.Log == nil) != c.o.NoLog || s.ClickHouse.DSN() != theirs || s.ClickHouse.Embedded() {
				t.Errorf("log %v, ClickHouse at %s", s.Log, s.ClickHouse.DSN())
			}
			if log, ch := user(clients.Kafka), user(clients.ClickHouse); log != c.log || ch != "ann" {
				t.Errorf("the log's user is %q, ClickHouse's %q", log, ch)
			}
		})
	}
}
