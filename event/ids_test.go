package event

import (
	"errors"
	"fmt"
	"testing"
)

// TestBlockedIDs: what programs write where they have no id never links
// visitors to each other, and never makes one device of them.
func TestBlockedIDs(t *testing.T) {
	d, err := NewDecoder(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", " ", "null", "NULL", "(null)", "undefined", "Undefined", "anonymous", "guest", "-1", "0", "000", "00000000-0000-0000-0000-000000000000",
		"none", "NaN", "n/a", "[object Object]", "{}", "true", "unknown", "distinct_id", "not_authenticated", "email", "id", "<nil>",
		"{{ user.id }}", "${userId}", "<user_id>", "%USER_ID%", "9774d56d682e549c"} {
		var e Event
		record := fmt.Sprintf(`{"type":"page","anonymousId":"a1","userId":%q,"timestamp":"2026-01-01T00:00:00Z"}`, id)
		if err := d.Decode([]byte(record), Unstated, 0, &e); err != nil || e.User != "" || e.Device != "a1" {
			t.Errorf("userId %q: user %q, device %q, %v", id, e.User, e.Device, err)
		}
		record = fmt.Sprintf(`{"type":"page","anonymousId":%q,"userId":"u1","timestamp":"2026-01-01T00:00:00Z"}`, id)
		if err := d.Decode([]byte(record), Unstated, 0, &e); err != nil || e.User != "u1" || e.Device != "user:u1" {
			t.Errorf("anonymousId %q: user %q, device %q, %v", id, e.User, e.Device, err)
		}
		record = fmt.Sprintf(`{"type":"page","anonymousId":%q,"userId":%q,"timestamp":"2026-01-01T00:00:00Z"}`, id, id)
		var refused *Error
		if err := d.Decode([]byte(record), Unstated, 0, &e); !errors.As(err, &refused) || refused.Reason != Malformed {
			t.Errorf("both ids %q: %v", id, err)
		}
	}
	for _, id := range []string{"nullius", "0a", "10", "-10", "anonymous-7", "user", "identity", "100%", "{x", "a@email", "$7"} {
		var e Event
		record := fmt.Sprintf(`{"type":"page","anonymousId":"a1","userId":%q,"timestamp":"2026-01-01T00:00:00Z"}`, id)
		if err := d.Decode([]byte(record), Unstated, 0, &e); err != nil || e.User != id {
			t.Errorf("userId %q: user %q, %v", id, e.User, err)
		}
	}
}
