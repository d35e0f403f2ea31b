package event

import (
	"bytes"
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
		if err := d.Decode(raw, Unstated, genNow, &e); err != nil {
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
	for _, bad := range []string{`{"type":"$delete"}`, `{"type":"$unlink","anonymousId":"a"}`, `{"type":"$unlink","anonymousId":"a","userId":"null"}`, `{"type":"$unlink","userId":"ann"}`,
		`{"type":"reset","userId":"ann"}`, `{"type":"reset","anonymousId":"undefined"}`, `{"type":"$delete","anonymousId":{}}`, `{"type":"$rebuild","anonymousId":"a"}`, `{"type":"$rebuild","anonymousId":"a","raw":"*"}`, `{"type":"$delete","anonymousId":"` + strings.Repeat("x", 513) + `"}`} {
		if _, err := refusal(t, d, []byte(bad)); err.Reason != Malformed {
			t.Errorf("%.60s: %v", bad, err)
		}
	}
}

// TestControl: what unlinks, logs out and links comes out of the log as it went
// in; what is no behaviour has no time and needs no consent.
func TestControl(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Consent.Required = true
	strict, err := NewDecoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	open, err := NewDecoder(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	const at = "2026-03-04T12:34:56.789Z"
	for _, c := range []struct {
		d    *Decoder
		raw  []byte
		want Event
	}{
		{strict, (&Unlinked{Device: "a\"1", User: "ann", Receipt: "r"}).Append(nil, at), Event{Device: "a\"1", User: "ann", Kind: KindUnlink, ID: hash([]byte("r"))}},
		{strict, []byte(`{"type":"reset","anonymousId":"a1","userId":"ann","messageId":"m","timestamp":"` + at + `"}`), Event{Device: "a1", Kind: KindReset, ID: hash([]byte("m"))}},
		{open, []byte(`{"type":"alias","anonymousId":"a2","previousId":"a1","userId":"ann","messageId":"m","timestamp":"` + at + `"}`), Event{Device: "a1", User: "ann", Kind: KindAlias, ID: hash([]byte("m")), Time: 1}},
	} {
		var e Event
		if err := c.d.Decode(c.raw, Unstated, genNow, &e); err != nil {
			t.Errorf("%s: %v", c.raw, err)
		}
		if e.Device != c.want.Device || e.User != c.want.User || e.Kind != c.want.Kind || e.ID != c.want.ID || (e.Time != 0) != (c.want.Time != 0) || e.Kind.Control() == (e.Time != 0) {
			t.Errorf("%s: %+v, not %+v", c.raw, e, c.want)
		}
		agree(t, c.d, c.raw, genNow)
	}
	whole := (&Rebuild{Device: "a1", Receipt: "r", Payload: bytes.Repeat([]byte{7}, 200_000)}).Append(nil)
	var e Event
	if err := strict.Decode(whole, Unstated, genNow, &e); err != nil || e.Kind != KindRebuild || e.Device != "a1" || len(e.Raw) != 200_000 || !e.Kind.Control() || !Administrative(TypeRebuild) {
		t.Errorf("a rebuild of %d bytes: %v, %s of %s with %d", len(whole), err, e.Kind, e.Device, len(e.Raw))
	}
	if !Administrative(TypeUnlink) || Administrative(TypeReset) || KindAlias.Control() {
		t.Error("anybody may unlink, nobody reset, or an alias is none of the device's events")
	}
	for _, bad := range []string{`{"type":"alias","userId":"ann"}`, `{"type":"alias","previousId":"null","userId":"ann"}`, `{"type":"alias","previousId":"a1","anonymousId":"a2"}`,
		`{"type":"alias","previousId":{},"userId":"ann"}`, `{"type":"alias","previousId":"a1","userId":"0000","anonymousId":"a2"}`} {
		if _, err := refusal(t, open, []byte(bad)); err.Reason != Malformed {
			t.Errorf("%.60s: %v", bad, err)
		}
	}
}
