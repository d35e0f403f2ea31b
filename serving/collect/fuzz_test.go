package collect

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/token"
)

// FuzzBody feeds arbitrary bodies to every reader: none may panic, what is
// taken for an event must be valid JSON of bounded size that the decoder reads,
// and a body that is wholly valid JSON must give one record an event.
func FuzzBody(f *testing.F) {
	keys, err := token.ParseKeys("k1:000102030405060708090a0b0c0d0e0f")
	if err != nil {
		f.Fatal(err)
	}
	link, err := keys.LinkTo("ann", "", time.Now(), 1000*time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	for _, body := range []string{
		`{"token":"` + link + `","anonymousId":"a","context":{"ip":"1"}}`, `{"token":"v1.e30.e30","anonymousId":7}`,
		`{"type":"track","event":"A","anonymousId":"a","context":{"ip":"1"}}`,
		`{"batch":[{"type":"page","userId":"u"},17,{"a":],{}],"sentAt":"x","context":{"a":1}}`,
		`[{"event":"A","properties":{"token":"k","distinct_id":"d","time":1e9}}]`,
		`data=eyJldmVudCI6IkEifQ==&verbose=1`, "\x1f\x8b\x08\x00", `{"$token":"k","$distinct_id":1,"$set":{"a":null}}`, `{"\ud800":"\ud800"}`,
	} {
		for kind := range uint8(5) {
			f.Add([]byte(body), kind)
		}
	}
	c, err := New(Config{Brokers: []string{"127.0.0.1:1"}, WriteKeys: []string{"k"}, Keys: keys})
	if err != nil {
		f.Fatal(err)
	}
	job, err := event.NewDecoder(event.Config{MaxBytes: 32<<10 + event.Overhead})
	if err != nil {
		f.Fatal(err)
	}
	readers := []func(*request) error{func(q *request) error { return q.single("track") }, (*request).segmentBatch, (*request).mixpanelTrack, (*request).mixpanelEngage, (*request).link}
	f.Fuzz(func(t *testing.T, body []byte, kind uint8) {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.SetBasicAuth("k", "")
		q := &request{c: c, r: r, now: time.Now(), sender: c.senders.sender(netip.Addr{}, "", time.Now())}
		w := httptest.NewRecorder()
		release, err := q.readBody(w)
		defer release()
		if err != nil {
			return
		}
		q.env.receivedAt = q.now.UTC().Format(timeForm)
		if q.decode(readers[int(kind)%len(readers)]) != nil {
			return
		}
		for _, rec := range q.records {
			if len(rec.Value) > 32<<10+event.Overhead {
				t.Fatalf("a record of %d bytes", len(rec.Value))
			}
			var e event.Event
			var why *event.Error
			switch err := job.Decode(rec.Value, event.Unstated, q.now.UnixMilli(), &e); {
			case errors.As(err, &why) && why.Reason == event.NoConsent:
				t.Fatalf("%s has no consent", rec.Value)
			case err == nil && !json.Valid(rec.Value):
				t.Fatalf("%q is no JSON", rec.Value)
			}
		}
		var batch struct{ Batch []json.RawMessage }
		if int(kind)%len(readers) == 1 && json.Unmarshal(q.body, &batch) == nil && q.events < len(batch.Batch) {
			t.Fatalf("%d events of %d", q.events, len(batch.Batch))
		}
	})
}
