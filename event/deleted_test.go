package event

import (
	"strings"
	"testing"
)

// TestDeleted: a tombstone comes out of the log as it went in, whatever the
// configuration says of consent, and says nothing of time.
func TestDeleted(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Consent.Required = true
	d, err := NewDecoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		in   Deleted
		keys string
	}{
		{Deleted{Device: "a1", Receipt: "r1"}, "a1"},
		{Deleted{Device: "a\"\\\u2028", User: "ann", Receipt: "r1"}, "a\"\\\u2028"},
		{Deleted{Device: "user:ann", User: "ann", Receipt: "r1"}, "ann user:ann"},
	} {
		raw := c.in.Append(nil, "2026-03-04T12:34:56.789Z")
		var e Event
		if err := d.Decode(raw, nil, genNow, &e); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		want := Event{Device: c.in.Device, User: c.in.User, Kind: KindDelete, ID: hash([]byte("r1")), Append: genNow, Ingest: -1}
		if e.Device != want.Device || e.User != want.User || e.Kind != want.Kind || e.ID != want.ID || e.Time != 0 || e.Append != want.Append {
			t.Errorf("%s: %+v, not %+v", raw, e, want)
		}
		if keys := strings.Join(c.in.Keys(), " "); keys != c.keys {
			t.Errorf("%s: keys %s", raw, keys)
		}
		agree(t, d, raw, genNow)
	}
	for _, bad := range []string{`{"type":"$delete"}`, `{"type":"$delete","anonymousId":{}}`, `{"type":"$delete","anonymousId":"` + strings.Repeat("x", 513) + `"}`} {
		if _, err := refusal(t, d, []byte(bad)); err.Reason != Malformed {
			t.Errorf("%.60s: %v", bad, err)
		}
	}
}
