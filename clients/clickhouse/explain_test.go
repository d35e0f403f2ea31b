package clickhouse

import (
	"errors"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// TestParseDSN: a DSN that cannot be read is often one whose password has an odd
// character, and the parsers' errors showed all of it.
func TestParseDSN(t *testing.T) {
	for _, dsn := range []string{"clickhouse://ann:canary/x@h:9000/d", "clickhouse://ann:canary%zz@h:9000/d", "clickhouse://ann:canary x@h:9000/d",
		"clickhouse://ann:canary#x@h:9000/d", "clickhouse://ann:canary?x@h:9000/d", "clickhouse://ann:canary@h:9000/d?dial_timeout=canary",
		"clickhouse://h:9000/d?password=canary&dial_timeout=canary", ":canary"} {
		if _, err := ParseDSN(dsn); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	opts, err := ParseDSN("clickhouse://ann:can%2Fary@h:9000/d")
	if err != nil || opts.Auth.Password != "can/ary" {
		t.Errorf("%+v, %v", opts, err)
	}
}

// TestExplain: what a server refuses is told in words that say where to look.
func TestExplain(t *testing.T) {
	c := explained{user: "ann", addr: "ch:9000"}
	for code, want := range map[int32]string{516: "MICROSEG_CLICKHOUSE_PASSWORD", 192: "MICROSEG_CLICKHOUSE_USER", 497: "grants.sql"} {
		err := c.explain(&clickhouse.Exception{Code: code, Message: "no"})
		var ex *clickhouse.Exception
		if !errors.As(err, &ex) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "ch:9000") {
			t.Errorf("%d: %v", code, err)
		}
	}
	if other := errors.New("other"); c.explain(other) != other || c.explain(nil) != nil {
		t.Error("it explains what it does not know")
	}
}
