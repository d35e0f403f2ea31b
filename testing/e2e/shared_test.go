package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/privacy"
)

// TestSharedTablet: Ann and Bob use one tablet. Her export has nothing of his, and her
// deletion takes what she did, before her log-in, too, and nothing else: his cart and
// his order stay, now and when the whole log is read again. Before, the tablet was
// deleted whole, and her export had his order.
func TestSharedTablet(t *testing.T) {
	s := openShop(t, "shared", false)
	tablet, ann, bob := `"anonymousId":"kitchen"`, `"userId":"ann-`+s.trace+`"`, `"userId":"bob"`
	order := `{"type":"track",` + tablet + `,%s,"event":"Order Completed","timestamp":"AT","properties":{"order_id":"%s","total":%d}}`
	s.send(page(tablet, "/"), `{"type":"identify",`+tablet+`,`+ann+`,"timestamp":"AT"}`, page(tablet+`,`+ann, "/product/1"), fmt.Sprintf(order, ann, "o1", 10),
		`{"type":"track",`+tablet+`,`+ann+`,"event":"A","timestamp":"yesterday"}`,
		`{"type":"identify",`+tablet+`,`+bob+`,"timestamp":"AT"}`, fmt.Sprintf(order, bob, "o2", 20),
		`{"type":"track",`+tablet+`,`+bob+`,"event":"Product Added","timestamp":"AT","properties":{"product_id":"p","price":5,"quantity":3}}`,
		`{"type":"track",`+tablet+`,`+bob+`,"event":"A","timestamp":"tomorrow"}`)
	s.drained()
	sessions := func() string {
		var out []string
		rows, err := s.conn.Query(t.Context(), "SELECT person, toUInt64(events), toUInt64(orders) FROM sessions_current WHERE site = ? ORDER BY person", s.site)
		check(t, err)
		defer rows.Close()
		for rows.Next() {
			var person string
			var events, orders uint64
			check(t, rows.Scan(&person, &events, &orders))
			out = append(out, fmt.Sprint(strings.TrimSuffix(person, "-"+s.trace), " ", events, " ", orders))
		}
		return strings.Join(out, ", ")
	}
	waitFor(t, "both sessions", func() bool { return sessions() == "u:ann 4 1, u:bob 3 1" })
	letters := func() uint64 {
		return count(t, s.conn, "SELECT count() FROM dead_letters_dedup WHERE site = ?", s.site)
	}
	waitFor(t, "both dead letters", func() bool { return letters() == 2 })

	code, body := s.ask("GET", "/v1/profiles/ann-"+s.trace, "", adminKey)
	var e privacy.Export
	check(t, json.Unmarshal([]byte(body), &e))
	if code != http.StatusOK || len(e.ClickHouse["sessions"]) != 1 || len(e.ClickHouse["dead_letters"]) != 1 || strings.Contains(body, "bob") || strings.Contains(body, "tomorrow") {
		t.Errorf("Ann's export: %d %s", code, body)
	}
	var r privacy.Receipt
	_, body = s.ask("DELETE", "/v1/profiles/ann-"+s.trace, "", adminKey)
	check(t, json.Unmarshal([]byte(body), &r))
	waitFor(t, "the receipt", func() bool {
		_, body = s.ask("GET", "/v1/profiles/ann-"+s.trace+"/deletion?receipt="+r.ID, "", adminKey)
		r = privacy.Receipt{}
		check(t, json.Unmarshal([]byte(body), &r))
		return r.Complete || r.Interrupted != ""
	})
	if !r.Complete {
		t.Fatalf("the receipt is %s", body)
	}
	bobs := func(when string) {
		t.Helper()
		var rec segment.Record
		ok, err := s.node.Store.Get("u:bob", &rec)
		check(t, err)
		if got := sessions(); !ok || got != "u:bob 3 1" || letters() != 1 {
			t.Errorf("%s: Bob is known: %v, sessions %q, %d dead letters", when, ok, got, letters())
		}
		if ok, err := s.node.Store.Get("u:ann-"+s.trace, &rec); ok || err != nil {
			t.Errorf("%s: Ann is known (%v)", when, err)
		}
		if left := s.traces(); len(left) > 0 {
			t.Errorf("%s: ClickHouse has %v", when, left)
		}
		keys, _ := s.published(nil)
		if keys = append(keys, s.inRedis()...); len(keys) > 0 {
			t.Errorf("%s: the topic of segments, or Redis, has %v", when, keys)
		}
	}
	bobs("after the deletion")
	records := 0
	for _, end := range s.drained() {
		records += int(end)
	}
	for _, rebuild := range []bool{false, true} {
		when := fmt.Sprintf("after a restart (from the log: %v)", rebuild)
		s.restart(records, rebuild)
		bobs(when)
	}
	s.run(false)
	s.send(page(tablet+`,`+ann, "/")) // she comes again, and is new
	waitFor(t, "who comes again", func() bool { return sessions() == "u:ann 1 0, u:bob 3 1" })
	check(t, s.job.Stop())
}
