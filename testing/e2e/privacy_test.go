package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/privacy"
)

// TestDeletion: a visitor with two devices, a user, sessions, memberships and
// dead letters is exported and deleted; every store is empty, the receipt says
// when each was; a job that starts again from the log brings nothing back; and
// who comes again is new.
func TestDeletion(t *testing.T) { deletion(t, "deletion", false) }

// TestDeletionOfCopies is TestDeletion where events are copied by device into a topic
// that the job reads: neither those that others wrote into the topic of events nor
// their copies bring anything back, also when all of them are copied once more.
func TestDeletionOfCopies(t *testing.T) { deletion(t, "deletion-rekeyed", true) }

func deletion(t *testing.T, site string, rekey bool) {
	s := openShop(t, site, rekey)
	phone, desk, ann := `"anonymousId":"phone-`+s.trace+`"`, `"anonymousId":"desk-`+s.trace+`"`, `"userId":"ann-`+s.trace+`"`
	s.send(page(phone, "/"), page(phone, "/product/1"), page(desk, "/"), page(`"anonymousId":"tablet"`, "/"),
		`{"type":"identify",`+phone+`,`+ann+`,"timestamp":"AT"}`, `{"type":"identify",`+desk+`,`+ann+`,"timestamp":"AT"}`,
		`{"type":"identify","anonymousId":"tablet","userId":"bob","timestamp":"AT"}`,
		page(phone, "/product/2"), page(desk, "/cart"), page(ann, "/account"),
		`{"type":"track",`+phone+`,"event":"A","timestamp":"yesterday"}`, `{"type":"nonsense",`+ann+`}`, `{"type":"$rejected",`+desk+`}`,
		`{"type":"$delete","anonymousId":"tablet"}`)
	s.drained()
	waitFor(t, "the node to know the user", func() bool {
		var r segment.Record
		ok, err := s.node.Store.Get("u:ann-"+s.trace, &r)
		return err == nil && ok && r.Devices == 3
	})
	waitFor(t, "rows of the visitor in every table", func() bool {
		left := s.traces()
		return left["sessions"] > 0 && left["segment_state"] > 0 && left["segment_events"] > 0 && left["dead_letters"] == 3
	})
	waitFor(t, "Redis to have the user and the devices", func() bool { return len(s.inRedis()) == 4 })
	s.refuses()
	s.exports()

	receipt := s.deletes("ann-" + s.trace)
	s.drained()
	s.nothing("after the deletion")
	_, other := s.serve() // any node answers
	s.url, other = other, s.url
	if code, body := s.ask("GET", "/v1/profiles/ann-"+s.trace+"/deletion?receipt="+receipt, "", adminKey); code != http.StatusOK || !strings.Contains(body, `"complete":true`) {
		t.Errorf("another node answers %d %s", code, body)
	}
	if code, _ := s.ask("GET", "/v1/profiles/bob/deletion?receipt="+receipt, "", adminKey); code != http.StatusNotFound {
		t.Errorf("a receipt is shown for somebody else: %d", code)
	}
	s.url = other

	ends := s.drained()
	records := 0
	for _, e := range ends {
		records += int(e)
	}
	before := s.segmentEnds()
	for when, rebuild := range map[string]bool{"after a restart from the changelog": false, "after a restart from the log": true} {
		if rekey {
			check(t, s.job.Stop())
			s.copyAgain()
		}
		s.restart(records, rebuild)
		s.nothing(when)
		if _, later := s.published(before); later > 0 {
			t.Errorf("%s: %d records of the visitor were published", when, later)
		}
	}

	s.run(false)
	s.send(page(phone, "/"))
	waitFor(t, "who comes again", func() bool {
		var r segment.Record
		ok, err := s.node.Store.Get("d:phone-"+s.trace, &r)
		return err == nil && ok && r.User == "" && r.Devices == 1
	})
	s.drained()
	if n := count(t, s.conn, "SELECT toUInt64(sum(events)) FROM sessions_current WHERE site = ? AND device = 'phone-"+s.trace+"'", s.site); n != 1 {
		t.Errorf("the new visit has %d events", n)
	}
	check(t, s.job.Stop())
}

// refuses: nobody but the admin is answered.
func (s *shop) refuses() {
	s.t.Helper()
	for _, c := range []struct {
		method, path, key string
		code              int
	}{
		{"GET", "/v1/profiles/bob", "", 401}, {"DELETE", "/v1/profiles/bob", "", 401}, {"GET", "/v1/profiles/bob/deletion?receipt=x", "", 401},
		{"GET", "/v1/profiles/bob", config.Demo().Collector.WriteKeys[0], 403}, {"DELETE", "/v1/profiles/bob", config.Demo().Collector.WriteKeys[0], 403},
		{"DELETE", "/v1/profiles/bob?writeKey=x", adminKey, 403},
		{"GET", "/v1/profiles/nobody", adminKey, 404}, {"GET", "/v1/profiles/bob/deletion", adminKey, 400}, {"GET", "/v1/profiles/bob/deletion?receipt=x", adminKey, 404},
		{"DELETE", "/v1/profiles/bob?without=everything", adminKey, 400}, {"GET", "/v1/profiles/u:", adminKey, 400},
		{"GET", "/v1/profiles/" + strings.Repeat("x", 600), adminKey, 400},
	} {
		if code, body := s.ask(c.method, c.path, "", c.key); code != c.code {
			s.t.Errorf("%s %.60s with key %q: %d %s", c.method, c.path, c.key, code, body)
		}
	}
}

// exports: what is kept is shown, by user and by device.
func (s *shop) exports() {
	s.t.Helper()
	code, body := s.ask("GET", "/v1/profiles/ann-"+s.trace, "", adminKey)
	var e privacy.Export
	if err := json.Unmarshal([]byte(body), &e); err != nil || code != http.StatusOK {
		s.t.Fatalf("%d %s (%v)", code, body, err)
	}
	if e.Person != "u:ann-"+s.trace || e.Profile == nil || e.Profile.Path == "" || e.Profile.Features["devices"] == nil || len(e.Devices) != 3 || len(e.ClickHouse["sessions"]) != 3 ||
		len(e.ClickHouse["segment_state"]) == 0 || len(e.ClickHouse["segment_events"]) == 0 || len(e.ClickHouse["dead_letters"]) < 2 || !strings.Contains(e.RawEvents, "192h") {
		s.t.Errorf("exported is %s", body)
	}
	if strings.Contains(body, "tablet") || strings.Contains(body, "bob") {
		s.t.Errorf("somebody else is exported, too: %s", body)
	}
	code, body = s.ask("GET", "/v1/profiles/d:phone-"+s.trace, "", adminKey)
	if code != http.StatusOK || !strings.Contains(body, `"users":["ann-`+s.trace+`"]`) {
		s.t.Errorf("the device's export: %d %s", code, body)
	}
}

// deletes deletes a person and checks the receipt.
func (s *shop) deletes(id string) (receipt string) {
	s.t.Helper()
	code, body := s.ask("DELETE", "/v1/profiles/"+id, "", adminKey)
	var r privacy.Receipt
	check(s.t, json.Unmarshal([]byte(body), &r))
	if code != http.StatusAccepted || r.ID == "" {
		s.t.Fatalf("%d %s", code, body)
	}
	waitFor(s.t, "the receipt", func() bool {
		code, body = s.ask("GET", "/v1/profiles/"+id+"/deletion?receipt="+r.ID, "", adminKey)
		r = privacy.Receipt{}
		check(s.t, json.Unmarshal([]byte(body), &r))
		return code != http.StatusOK || r.Complete || r.Interrupted != ""
	})
	if !r.Complete || len(r.Tombstones) != 4 || strings.Contains(body, s.trace) {
		s.t.Errorf("the receipt is %s", body)
	}
	done := map[string]bool{}
	for _, e := range r.Stores {
		done[e.Store] = e.DoneAt != nil || e.Note != ""
		if e.DoneAt == nil && e.Store != "raw_events" || e.Store == "raw_events" && (e.By == nil || time.Until(*e.By) > 9*24*time.Hour) {
			s.t.Errorf("the receipt says of %s: %+v", e.Store, e)
		}
	}
	for _, name := range []string{"tombstone", "erased_list", "cache", "segments", "redis", "changelog", "state", "raw_events", "dead_letters", "clickhouse.sessions", "clickhouse.segment_state", "clickhouse.alerts", "clickhouse.segment_events"} {
		if !done[name] {
			s.t.Errorf("the receipt does not tell of %s: %s", name, body)
		}
	}
	return r.ID
}
