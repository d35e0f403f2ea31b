package event

import "testing"

// TestKeyOfOneDevice: however an event states whose it is, records of one device
// have one key. A server's {"userId": "ann"} was keyed "ann" and a stranger's
// {"anonymousId": "user:ann"} "user:ann": one device in two partitions, of which
// the job ended.
func TestKeyOfOneDevice(t *testing.T) {
	t.Parallel()
	d, err := NewDecoder(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for ids, want := range map[string]string{
		`"anonymousId":"a1"`:                            "a1",
		`"anonymousId":"a1","userId":"ann"`:             "a1",
		`"userId":"ann"`:                                "ann",
		`"anonymousId":"user:ann"`:                      "ann",
		`"anonymousId":"user:ann","userId":"bob"`:       "ann",
		`"anonymousId":"null","userId":"ann"`:           "ann",
		`"anonymousId":null,"userId":"ann"`:             "ann",
		`"anonymousId":"","userId":"ann"`:               "ann",
		`"anonymousId":17`:                              "17",
		`"anonymousId":"17"`:                            "17",
		`"userId":17`:                                   "17",
		`"anonymousId":"user:user:ann"`:                 "user:ann",
		`"anonymousId":"user:"`:                         "user:",
		`"anonymousId":"Ann"`:                           "Ann",
		`"anonymousId":"\u0061nn"`:                      "ann",
		`"anonymousId":"a1","userId":"undefined"`:       "a1",
		`"anonymousId":"00000000-0000","userId":"ann"`:  "ann",
		`"anonymousId":"[object Object]","userId":"é"`:  "é",
		`"anonymousId":"a1","userId":"b","channel":"x"`: "a1",
	} {
		var e Event
		if err := d.Decode([]byte(`{"type":"page","timestamp":"2026-01-01T00:00:00Z",`+ids+`}`), Unstated, 0, &e); err != nil || Key(e.Device) != want {
			t.Errorf("%s: device %q, key %q, want %q (%v)", ids, e.Device, Key(e.Device), want, err)
		}
	}
	var e Event
	alias := `{"type":"alias","previousId":"a1","userId":"ann","timestamp":"2026-01-01T00:00:00Z"}`
	if err := d.Decode([]byte(alias), Unstated, 0, &e); err != nil || Key(e.Device) != "a1" {
		t.Errorf("an alias: key %q (%v)", Key(e.Device), err)
	}
	// The keys under which a tombstone looks for a device's records agree.
	for _, device := range []string{"a1", "user:ann"} {
		found := false
		for _, k := range (&Deleted{Device: device}).Keys() {
			found = found || k == Key(device)
		}
		if !found {
			t.Errorf("a tombstone of %q is under none of its records' keys", device)
		}
	}
}
