package event

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// refusal decodes raw, which must be refused.
func refusal(t *testing.T, d *Decoder, raw []byte) (Event, *Error) {
	t.Helper()
	var e Event
	var typed *Error
	if err := d.Decode(raw, Unstated, genNow, &e); !errors.As(err, &typed) {
		t.Fatalf("%s: %v, not an *Error", raw, err)
	}
	return e, typed
}

// TestRejected: a refusal goes through the log and comes out with its reason,
// its device and the beginning of what was sent, as valid text of bounded size.
func TestRejected(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	for name, c := range map[string]struct {
		in   Rejected
		kept string
	}{
		"short":         {Rejected{Malformed, "not an object", "a1", []byte(`["x"]`)}, `["x"]`},
		"nothing known": {Rejected{Reason: Malformed}, ""},
		"binary":        {Rejected{Malformed, "bad \xff", "", []byte("a\xff\x00b")}, "a\uFFFD\x00b"},
		"long":          {Rejected{Oversized, "40000 bytes", "a1", bytes.Repeat([]byte("é"), 20_000)}, strings.Repeat("é", MaxRejected/2)},
		"worst case":    {Rejected{Oversized, strings.Repeat("d", 500), "a1", make([]byte, 100_000)}, strings.Repeat("\x00", MaxRejected)},
	} {
		raw := c.in.Append(nil, "2026-03-04T12:34:56.789Z")
		e, err := refusal(t, d, raw)
		if err.Reason != c.in.Reason || e.Device != c.in.AnonymousID || len(raw) > 32<<10 {
			t.Errorf("%s: reason %s, device %q, %d bytes", name, err.Reason, e.Device, len(raw))
		}
		if kept := d.Kept(raw, err); string(kept) != c.kept {
			t.Errorf("%s: the dead letter keeps %.60q, not %.60q", name, kept, c.kept)
		}
		if err.Detail != strings.ToValidUTF8(c.in.Detail, "?") {
			t.Errorf("%s: detail %q", name, err.Detail)
		}
	}
}

// TestRejectedForged: whoever writes to the log may write a refusal, too; it
// is then a refusal and nothing else.
func TestRejectedForged(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	for _, raw := range []string{
		`{"type":"$rejected"}`,
		`{"type":"$rejected","reason":"late","raw":{"a":1},"detail":[],"anonymousId":{}}`,
		`{"type":"$rejected","reason":"no_consent","raw":1}`,
	} {
		if _, err := refusal(t, d, []byte(raw)); err.Reason != Malformed || len(d.Kept([]byte(raw), err)) != 0 {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// TestConsent: which preferences let an event through.
func TestConsent(t *testing.T) {
	t.Parallel()
	two := []string{"Analytics", "personalization"}
	for _, c := range []struct {
		rule    Consent
		context string
		given   bool
	}{
		{Consent{}, `{}`, true},
		{Consent{}, `{"consent":null}`, true},
		{Consent{}, `{"consent":{"categoryPreferences":{"Analytics":true}}}`, true},
		{Consent{}, `{"consent":{"categoryPreferences":{"Advertising":false}}}`, true},
		{Consent{}, `{"consent":{"categoryPreferences":{"Analytics":false}}}`, false},
		{Consent{}, `{"consent":{"categoryPreferences":{"aNALYTICS":false,"Advertising":true}}}`, false},
		{Consent{}, `{"consent":{"categoryPreferences":{"\u0041nalytics":false}}}`, false},
		{Consent{}, `{"consent":{"categoryPreferences":{"analytics":"no"}}}`, false},
		{Consent{}, `{"consent":{"categoryPreferences":{"analytics":{"a":[1]}}}}`, false},
		{Consent{}, `{"consent":{"categoryPreferences":{"analytics":null}}}`, true},
		{Consent{}, `{"consent":{"categoryPreferences":{"analytics":false,"analytics":true}}}`, true},
		{Consent{}, `{"consent":{"categoryPreferences":{"analytics":false},"categoryPreferences":{}}}`, true},
		{Consent{}, `{"consent":{"categoryPreferences":["analytics"]}}`, true},
		{Consent{Required: true}, `{}`, false},
		{Consent{Required: true}, `{"consent":{"categoryPreferences":["analytics"]}}`, true},
		{Consent{Required: true}, `{"consent":{"categoryPreferences":[]}}`, false},
		{Consent{Required: true}, `{"consent":{"categoryPreferences":{"analytics":null}}}`, false},
		{Consent{Required: true}, `{"consent":{"categoryPreferences":{"ANALYTICS":true}}}`, true},
		{Consent{Categories: two}, `{"consent":{"categoryPreferences":{"analytics":true}}}`, true},
		{Consent{Categories: two}, `{"consent":{"categoryPreferences":{"analytics":true,"Personalization":false}}}`, false},
		{Consent{Categories: two, Required: true}, `{"consent":{"categoryPreferences":{"analytics":true}}}`, false},
		{Consent{Categories: two, Required: true}, `{"consent":{"categoryPreferences":{"analytics":true,"personalization":true}}}`, true},
	} {
		cfg := testConfig()
		cfg.Consent = c.rule
		d, err := NewDecoder(cfg)
		if err != nil {
			t.Fatal(err)
		}
		raw := []byte(`{"type":"page","anonymousId":"secret","timestamp":"2026-03-04T12:34:56Z","context":` + c.context + `}`)
		if reason := agree(t, d, raw, genNow); (reason == "") != c.given || reason != "" && reason != NoConsent {
			t.Errorf("%+v %s: reason %q, given is %v", c.rule, c.context, reason, c.given)
		}
		if !c.given {
			e, err := refusal(t, d, raw)
			if kept := d.Kept(raw, err); len(kept) != 0 || e.Device != "" || !err.Withheld() {
				t.Errorf("%s: a dead letter would keep %q of %q", c.context, kept, e.Device)
			}
		}
	}
	for _, bad := range []Consent{{Categories: []string{""}}, {Categories: make([]string, 33)}} {
		if _, err := NewDecoder(Config{Consent: bad}); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}

// TestConsentAsOthersSayIt: RudderStack's lists of ids were not read at all, so that a
// visitor who had said no got a profile; what is stated and cannot be read is a no.
func TestConsentAsOthersSayIt(t *testing.T) {
	t.Parallel()
	for context, given := range map[string]bool{
		`"consentManagement":{"allowedConsentIds":[],"deniedConsentIds":["analytics"],"provider":"custom"}`:                   false,
		`"consentManagement":{"allowedConsentIds":["Analytics"],"deniedConsentIds":["marketing"],"resolutionStrategy":"and"}`: true,
		`"consentManagement":{"allowedConsentIds":["C0001","C0002"],"deniedConsentIds":["C0004"],"provider":"oneTrust"}`:      true,
		`"consentManagement":{"allowedConsentIds":["C0001"],"deniedConsentIds":["C0002"],"provider":"oneTrust"}`:              false,
		`"consentManagement":{"allowedConsentIds":{"C0001":"Necessary","C0002":"Performance Cookies"}}`:                       true,
		`"consentManagement":{"allowedConsentIds":["marketing"]}`:                                                             false, // and no other
		`"consentManagement":{"deniedConsentIds":["marketing"]}`:                                                              true,
		`"consentManagement":{"deniedConsentIds":["marketing","analytics"]}`:                                                  false,
		`"consentManagement":{"allowedConsentIds":"analytics, marketing"}`:                                                    true,
		`"consentManagement":{"deniedConsentIds":"analytics"}`:                                                                false,
		`"consentManagement":{"deniedConsentIds":[["marketing"]]}`:                                                            false,
		`"consentManagement":{"allowedConsentIds":17}`:                                                                        false,
		`"consentManagement":{"allowedConsentIds":null,"deniedConsentIds":null}`:                                              true,
		`"consentManagement":{"provider":"ketch"}`:                                                                            true,
		`"consentManagement":"no"`:                                          false,
		`"consentManagement":true`:                                          true,
		`"consentManagement":[]`:                                            true,
		`"consentManagement":{}`:                                            true,
		`"consent":false`:                                                   false,
		`"consent":true`:                                                    true,
		`"consent":"granted"`:                                               true,
		`"consent":"maybe"`:                                                 false,
		`"consent":""`:                                                      false,
		`"consent":[]`:                                                      true,
		`"consent":["x"]`:                                                   false,
		`"consent":{"categoryPreferences":false}`:                           false,
		`"consent":{"categoryPreferences":"analytics"}`:                     false,
		`"consent":{"categoryPreferences":["marketing"]}`:                   false,
		`"consent":{"categoryPreferences":{"analytics":"true"}}`:            true,
		`"consent":{"categoryPreferences":{"analytics":"1"}}`:               true,
		`"consent":{"categoryPreferences":{"analytics":1}}`:                 true,
		`"consent":{"categoryPreferences":{"analytics":0}}`:                 false,
		`"consent":{"categoryPreferences":{"analytics":"false"}}`:           false,
		`"consent":{"categoryPreferences":{"C0002":false,"C0001":true}}`:    false,
		`"consent":{"categoryPreferences":{"statistics":false}}`:            false,
		`"consent":{"categoryPreferences":{"analytics_storage":"granted"}}`: true,
		`"consent":{"categoryPreferences":{"analytics":true}},"consentManagement":{"deniedConsentIds":["analytics"]}`: false,
	} {
		d := newDecoder(t)
		raw := []byte(`{"type":"page","anonymousId":"a","timestamp":"2026-03-04T12:34:56Z","context":{` + context + `}}`)
		if reason := agree(t, d, raw, genNow); (reason == "") != given {
			t.Errorf("%s: reason %q, given is %v", context, reason, given)
		}
	}
}

// TestFieldsFit: a field is a bit of a word.
func TestFieldsFit(t *testing.T) {
	t.Parallel()
	if numFields > 64 {
		t.Errorf("%d fields do not fit", numFields)
	}
}
