package collect_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
)

// TestRetryWithOldSentAt: a request that waited for hours and still has the sentAt of its
// first attempt looked like a clock that is behind, and its events went behind those that
// the visitor has made since. The libraries say that it is a retry.
func TestRetryWithOldSentAt(t *testing.T) {
	s := start(t, nil)
	happened := time.Now().Add(-3 * time.Hour).UTC().Truncate(time.Millisecond)
	stamp := happened.Format(time.RFC3339Nano)
	for _, c := range []struct {
		name  string
		as    option
		moved bool
	}{
		{"first attempt", header("X-Retry-Count", "0"), true},
		{"Segment's retry", header("X-Retry-Count", "4"), false},
		{"RudderStack's retry", header("Rsa-Retry-Attempt", "1"), false},
	} {
		body := fmt.Sprintf(`{"sentAt":%q,"batch":[{"type":"track","event":"x","anonymousId":"a","timestamp":%q,"originalTimestamp":%q}]}`, stamp, stamp, stamp)
		s.ok(s.post("/v1/batch", body, auth, c.as))
		var e event.Event
		if err := decoder(t).Decode(s.records(1)[0].Value, event.Public, time.Now().UnixMilli(), &e); err != nil {
			t.Fatal(err)
		}
		if moved := e.Time != happened.UnixMilli(); moved != c.moved {
			t.Errorf("%s: %v, it happened at %v", c.name, time.UnixMilli(e.Time).UTC(), happened)
		}
	}
}
