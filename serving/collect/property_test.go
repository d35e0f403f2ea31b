package collect_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
)

// TestAcceptedIsWhatWasSent: of random batches every event arrives once, in
// the order of its device, and reads as what was sent: to the decoder the
// same, and in every member that is not the collector's to say.
func TestAcceptedIsWhatWasSent(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for seed := range uint64(60) {
		g := maker{rand.New(rand.NewPCG(seed, 9))}
		common := g.pick(``, `"context":{"locale":"de","screen":{"width":7},"ip":"::1"},`, `"context":null,`, `"context":17,`)
		sent := map[string]map[string]any{}
		var list []string
		for i := range 1 + g.IntN(20) {
			id := fmt.Sprintf("m%d", i)
			raw := g.event(id)
			list = append(list, raw)
			sent[id] = fields(t, []byte(raw))
		}
		s.ok(s.post("/v1/batch", `{`+common+`"batch":[`+strings.Join(list, g.pick(",", " ,\n "))+`]}`, auth))
		for _, r := range s.records(len(list)) {
			got := fields(t, r.Value)
			id := got["messageId"].(string)
			want, ok := sent[id]
			if !ok {
				t.Fatalf("seed %d: %s arrived twice, or was never sent", seed, id)
			}
			delete(sent, id)
			same(t, want, got, strings.Contains(common, "locale"))
			decodesAlike(t, want, r.Value)
			key := cmp.Or(want["anonymousId"], want["userId"])
			if want["type"] == "alias" { // links are decided in the order of the linked device's events
				key = want["previousId"]
			}
			if string(r.Key) != key {
				t.Errorf("seed %d: %s has the key %s, not %v", seed, id, r.Key, key)
			}
		}
	}
}

// same compares members, but for what the collector says and takes away.
func same(t *testing.T, want, got map[string]any, common bool) {
	t.Helper()
	context := map[string]any{}
	if common {
		context = map[string]any{"locale": "de", "screen": map[string]any{"width": 7.0}}
	}
	own, _ := want["context"].(map[string]any)
	for k, v := range own {
		context[k] = v
	}
	delete(context, "ip")
	gotContext, _ := got["context"].(map[string]any)
	if len(context) > 0 && !reflect.DeepEqual(context, gotContext) {
		t.Errorf("context %v, not %v", gotContext, context)
	}
	for _, k := range []string{"type", "event", "anonymousId", "userId", "properties", "traits", "extra", "originalTimestamp", "sentAt"} {
		if !reflect.DeepEqual(want[k], got[k]) {
			t.Errorf("%s is %v, not %v", k, got[k], want[k])
		}
	}
	if want["timestamp"] != nil && want["timestamp"] != got["timestamp"] {
		t.Errorf("timestamp is %v, not %v", got["timestamp"], want["timestamp"])
	}
	for _, k := range []string{"writeKey", "_metadata", "ip"} {
		if got[k] != nil {
			t.Errorf("%s is on the log: %v", k, got[k])
		}
	}
}

// decodesAlike compares what the decoder makes of the record with what it
// makes of the event as sent, with the record's receivedAt.
func decodesAlike(t *testing.T, want map[string]any, record []byte) {
	t.Helper()
	got := fields(t, record)
	plain := map[string]any{}
	for k, v := range want {
		plain[k] = v
	}
	plain["receivedAt"], plain["context"], plain["timestamp"] = got["receivedAt"], got["context"], got["timestamp"]
	raw, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	d, err := event.NewDecoder(event.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var a, b event.Event
	now := time.Now().UnixMilli()
	errA, errB := d.Decode(raw, event.Unstated, now, &a), d.Decode(record, event.Unstated, now, &b)
	if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%s\n is %+v, %v\n not %+v, %v", record, b, errB, a, errA)
	}
}

type maker struct{ *rand.Rand }

func (g maker) pick(s ...string) string { return s[g.IntN(len(s))] }

// event is a good event, with members in any order, odd white space, escapes
// and members that are not the client's to say.
func (g maker) event(id string) string {
	at := func() string {
		return `"` + time.Now().Add(-time.Duration(g.IntN(100_000))*time.Millisecond).UTC().Format(time.RFC3339Nano) + `"`
	}
	members := []string{`"messageId":"` + id + `"`}
	if g.IntN(4) == 0 {
		members = append(members, `"type":"alias","previousId":"p","userId":"u"`)
	} else {
		members = append(members, g.pick(`"type":"page"`, `"type":"track","event":"Product Viewed"`, `"typ\u0065":"identify"`),
			g.pick(`"anonymousId":"a1"`, `"anonymousId":"é\ud83d\ude00"`, `"userId":"u"`, `"anonymousId":"a2","userId":"u2"`))
	}
	for _, m := range []string{`"timestamp":` + at(), `"originalTimestamp":` + at(), `"sentAt":` + at(), `"receivedAt":"1999-01-01T00:00:00Z"`, `"writeKey":"x"`, `"_metadata":{}`, `"ip":"1.1.1.1"`,
		`"context":` + g.pick(`{}`, `null`, `{"ip":"1.2.3.4","locale":"fr"}`, `{"\u0069p":"1.2.3.4"}`, `{"userAgent":"x","screen":{"width": 390}}`, `{"a":[{"ip":"kept"}]}`),
		`"properties":` + g.pick(`{}`, `{"price": 12.50,"x":"a,b]}\"{["}`, `null`, `{"path":"/product/1"}`),
		`"traits":{"name":"\\"}`, `"extra":[1,{"b":[]} , "x"]`} {
		if g.IntN(2) == 0 {
			members = append(members, strings.Replace(m, ":", g.pick(":", " : "), 1))
		}
	}
	g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return g.pick("{", "{ ", "\n{") + strings.Join(members, g.pick(",", ", ", "\n,")) + "}"
}
