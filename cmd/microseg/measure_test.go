package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
)

// TestNodesAreJudged: serving nodes wrote no latencies, so that the budgets of delivery
// and of the whole way passed whatever visitors waited. `up` and `serve` write theirs,
// each for itself; health judges them, and a node that takes too long is an alert.
func TestNodesAreJudged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "site.yaml")
	text := strings.Replace(string(config.Shipped), "whole: 500ms ", "whole: 1ms ", 1) // which nobody keeps
	text = strings.Replace(text, "deliver: 450ms ", "deliver: 1h ", 1)                 // which a busy machine keeps, too
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stack := filepath.Join(dir, "stack")
	_, _, a := up(t, stack, "--config", file)
	second, out := program(t, "serve", "--config", file, "--brokers", a.Kafka, "--topic", a.Topic, "--site", a.Site, "--dsn", a.DSN, "--http", "127.0.0.1:0"), &output{}
	key, err := os.ReadFile(a.AdminKey)
	if err != nil {
		t.Fatal(err)
	}
	second.Env = append(second.Env, node.EnvTokenKeys+"=k1:"+strings.Repeat("ab", 32), node.EnvAdminKey+"="+string(key))
	second.Stdout, second.Stderr = out, out
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			second.Process.Signal(syscall.SIGTERM)
			if err := second.Wait(); err != nil {
				t.Errorf("serve ended with %v\n%s", err, out)
			}
		}
	}
	t.Cleanup(stop)
	await(t, "the second node", func() bool { return strings.Contains(out.String(), "serving on http://") })
	_, rest, _ := strings.Cut(out.String(), "serving on http://")
	other, _, _ := strings.Cut(rest, " ")
	_, rest, _ = strings.Cut(out.String(), "metrics on http://")
	admin, _, _ := strings.Cut(rest, "\n")
	get := func(addr, path string) int {
		r, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.StatusCode
	}
	await(t, "both nodes to be ready", func() bool { return get(a.HTTP, "/readyz") == 200 && get(other, "/readyz") == 200 })
	twoListeners(t, a.HTTP, a.AdminHTTP, string(key))
	twoListeners(t, other, admin, string(key))

	for i := range 30 {
		body := fmt.Sprintf(`{"anonymousId":"v%d","messageId":"m%[1]d","event":"Product Viewed","sentAt":%q}`, i, time.Now().UTC().Format(time.RFC3339Nano))
		r, err := http.NewRequest("POST", "http://"+a.HTTP+"/v1/track", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("demo", "")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		for _, addr := range []string{a.HTTP, other} {
			get(addr, fmt.Sprintf("/api/segment?anonymousId=v%d", i))
		}
	}
	sql := func(q string) string {
		b, _ := says(t, "sql", "--dir", stack, "--format", "TSV", q)
		return strings.TrimSpace(b)
	}
	const nodes = "SELECT stage, uniqExact(job) AS nodes FROM latency_dedup WHERE site = {site:String} AND stage IN ('deliver', 'respond', 'whole') GROUP BY stage HAVING sum(count) >= 60 ORDER BY stage"
	await(t, "the latencies of both nodes", func() bool { return sql(nodes) == "deliver\t2\nrespond\t2\nwhole\t2" })

	asked, code := says(t, "health", "--dir", stack, "--config", file)
	var answer struct{ Checks []query.Check }
	if err := json.Unmarshal([]byte(asked), &answer); err != nil {
		t.Fatalf("%v in %s", err, asked)
	}
	health := map[string]query.Check{}
	for _, c := range answer.Checks {
		health[c.Kind] = c
	}
	if c := health["deliver_budget"]; !c.OK || c.Value == nil {
		t.Errorf("delivery is not judged: %s", asked)
	}
	if c := health["whole_budget"]; c.OK || c.Value == nil || code != 1 {
		t.Errorf("the whole way is not judged: exit code %d, %s", code, asked)
	}
	const alert = "SELECT count() > 0 FROM alerts_current WHERE site = {site:String} AND kind = 'whole_budget' AND value > threshold"
	await(t, "the alert", func() bool { return sql(alert) == "1" })

	// What a node measured last is written when it ends.
	for range 7 {
		get(other, "/api/segment?anonymousId=v1")
	}
	stop()
	const answers = "SELECT count() FROM (SELECT job, sum(count) AS n FROM latency_dedup WHERE site = {site:String} AND stage = 'respond' GROUP BY job HAVING n = 38)"
	if n := sql(answers); n != "1" {
		t.Errorf("%s nodes with 38 answers (30, 7, and one of twoListeners), not 1", n)
	}
}
